/**
 * What was the engine asked to do?
 *
 * Comes in: command line and environment, as prisma-client-py sets them for the binary. Goes out: `Settings`.
 */

import { parseArgs } from 'node:util';

import { readDatabaseUrl } from './database_url.js';
import { readSchema } from './schema.js';

/**
 * @typedef {object} Settings
 * @property {string} host
 * @property {number} port
 * @property {boolean} hasMetrics
 * @property {string} datamodel the text of schema.prisma
 * @property {import('./schema.js').SchemaFacts} schema
 * @property {import('./database_url.js').DatabaseSettings} database
 */

const OPTIONS = {
  host: { type: 'string', short: 'H', default: '127.0.0.1' },
  port: { type: 'string', short: 'p', default: '4466' },
  'enable-metrics': { type: 'boolean', short: 'm', default: false },
  'enable-raw-queries': { type: 'boolean', short: 'r', default: false }, // they always are
  version: { type: 'boolean', short: 'V', default: false },
};

/** Command line or environment are of no use. */
export class SettingsError extends Error {}

/**
 * Whether the engine is only to say its version.
 *
 * @param {readonly string[]} argv without program and script
 * @throws {SettingsError} it has arguments that this engine does not know
 */
export function asksForVersion(argv) {
  return parsed(argv).version;
}

/**
 * @param {readonly string[]} argv without program and script
 * @param {Readonly<Record<string, string | undefined>>} environ
 * @param {(path: string) => string} readFile
 * @returns {Settings}
 * @throws {SettingsError} something is missing or cannot be read; no message holds the database's address
 */
export function readSettings(argv, environ, readFile) {
  const given = parsed(argv);
  if (!/^[0-9]{1,5}$/.test(given.port)) throw new SettingsError(`--port ${given.port} must be a number`);
  const protocol = environ.PRISMA_ENGINE_PROTOCOL ?? 'graphql';
  if (protocol !== 'graphql') throw new SettingsError(`PRISMA_ENGINE_PROTOCOL=${protocol} must be graphql`);
  const datamodel = datamodelOf(environ, readFile);
  const schema = readSchema(datamodel);
  return {
    host: given.host,
    port: Number(given.port),
    hasMetrics: given['enable-metrics'],
    datamodel,
    schema,
    database: readDatabaseUrl(databaseUrl(schema, environ), readFile),
  };
}

function parsed(argv) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS }).values;
  } catch (error) {
    throw new SettingsError(error.message);
  }
}

function datamodelOf(environ, readFile) {
  if (environ.PRISMA_DML) return Buffer.from(environ.PRISMA_DML, 'base64').toString();
  if (environ.PRISMA_DML_PATH) return readFile(environ.PRISMA_DML_PATH);
  throw new SettingsError('neither PRISMA_DML_PATH nor PRISMA_DML says what the schema is');
}

function databaseUrl(schema, environ) {
  const override = overrides(environ.OVERWRITE_DATASOURCES).find(({ name }) => name === schema.datasourceName);
  if (override !== undefined) return override.url;
  if ('url' in schema.datasourceUrl) return schema.datasourceUrl.url;
  const { variable } = schema.datasourceUrl;
  const url = environ[variable];
  if (!url) throw new SettingsError(`the environment variable ${variable}, which the schema names, is not set`);
  return url;
}

/** JSON, or base64 of it. */
function overrides(text) {
  if (!text) return [];
  try {
    return JSON.parse(text.trimStart().startsWith('[') ? text : Buffer.from(text, 'base64').toString());
  } catch {
    throw new SettingsError('OVERWRITE_DATASOURCES is neither JSON nor base64 of JSON');
  }
}
