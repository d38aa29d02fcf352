/**
 * What of a Prisma schema must be known to translate queries and to connect?
 *
 * Comes in: the text of schema.prisma. Goes out: for each model, which of its fields hold JSON and which lead to
 * another model; and where the database is. Whether the schema is valid is for Prisma's engine to say.
 */

/**
 * @typedef {{kind: 'json'} | {kind: 'relation', model: string}} FieldFact
 * @typedef {ReadonlyMap<string, FieldFact>} ModelFacts its other fields are not in it
 * @typedef {object} SchemaFacts
 * @property {ReadonlyMap<string, ModelFacts>} models
 * @property {string} datasourceName
 * @property {{variable: string} | {url: string}} datasourceUrl an environment variable, or the address itself
 */

const BLOCK = /^\s*(model|datasource)\s+(\w+)\s*\{/;
const FIELD = /^\s*(\w+)\s+(\w+)/;
const URL_SETTING = /^\s*url\s*=\s*(?:env\(\s*"([^"]+)"\s*\)|"([^"]*)")/;

/**
 * @param {string} text of schema.prisma
 * @returns {SchemaFacts}
 * @throws {Error} it has no datasource with an address
 */
export function readSchema(text) {
  const blocks = readBlocks(text);
  const modelNames = new Set(blocks.filter((block) => block.kind === 'model').map((block) => block.name));
  const models = new Map();
  let datasource = null;
  for (const { kind, name, lines } of blocks) {
    if (kind === 'model') {
      models.set(name, fieldFacts(lines, modelNames));
    } else {
      const [, variable, url] = lines.map((line) => URL_SETTING.exec(line)).find(Boolean) ?? [];
      if (variable ?? url) datasource = { name, url: variable ? { variable } : { url } };
    }
  }
  if (datasource === null) throw new Error('the schema has no datasource with a url');
  return { models, datasourceName: datasource.name, datasourceUrl: datasource.url };
}

function readBlocks(text) {
  const blocks = [];
  let block = null;
  for (const line of text.split('\n')) {
    const start = BLOCK.exec(line);
    if (start !== null) {
      block = { kind: start[1], name: start[2], lines: [] };
      blocks.push(block);
    } else if (line.trim() === '}') {
      block = null;
    } else {
      block?.lines.push(line);
    }
  }
  return blocks;
}

function fieldFacts(lines, modelNames) {
  const facts = new Map();
  for (const line of lines) {
    const [, name, type] = FIELD.exec(line) ?? [];
    if (type === 'Json') facts.set(name, { kind: 'json' });
    else if (modelNames.has(type)) facts.set(name, { kind: 'relation', model: type });
  }
  return facts;
}
