/**
 * Which columns does @prisma/adapter-pg refuse or get wrong, and what are they?
 *
 * Comes in: an OID of PostgreSQL's type and its text. Goes out: how to read it, as the binary engine would. All other
 * types are the adapter's. The session's time zone is UTC (pool.js).
 */

import { parse as parseArray } from 'postgres-array';

const TEXT = 25;
const TEXT_ARRAY = 1009;
const TIMESTAMP_ARRAY = 1115;

/** Types that are read as another one. The adapter knows no "char", name, name[] and timestamptz[]. */
const READ_AS = new Map([
  [18, TEXT],
  [19, TEXT],
  [1003, TEXT_ARRAY],
  [1185, TIMESTAMP_ARRAY],
]);

const OFFSET = /[+-]\d{2}(?::\d{2}){0,2}$/;

const PARSERS = new Map([
  // timestamptz[]
  [1185, (text) => parseArray(text, withoutOffset)],
  // timetz: the adapter keeps "-03:30"
  [1266, withoutOffset],
  // json[] and jsonb[]: the engine wants the text of each
  [199, (text) => parseArray(text)],
  [3807, (text) => parseArray(text)],
]);

/**
 * @param {number} oid of a column's type
 * @returns {number} of the type that the adapter is to take it for
 */
export function readAs(oid) {
  return READ_AS.get(oid) ?? oid;
}

/**
 * @param {number} oid of a column's type
 * @returns {((text: string) => unknown) | undefined} what reads it; undefined when the adapter can
 */
export function parserOf(oid) {
  return PARSERS.get(oid);
}

function withoutOffset(text) {
  return text.replace(OFFSET, '');
}
