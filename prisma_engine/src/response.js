/**
 * How does the engine's answer in the JSON protocol read in GraphQL's?
 *
 * Comes in: the text of an answer and the operations it answers. Goes out: text. All is done on the text: parsed and
 * written again, 100.0 would become 100, which prisma-client-py takes for another type.
 */

/** @typedef {import('./json_protocol.js').Operation} Operation */

import { endOfString } from './json_strings.js';

/** How a tagged value begins. Within a string of JSON every quote is escaped, so this cannot be found in a string. */
const TAG = /\{"\$type":"(?:DateTime|BigInt|Decimal|Json|Bytes|Enum)","value":(?=")/g;

/**
 * @param {string} text the answer
 * @param {readonly Operation[]} operations what was asked, in order
 * @returns {string} with the values that GraphQL has in place of tagged ones, each under its alias
 */
export function toGraphql(text, operations) {
  // Columns of SQL queries are not tagged, but may hold anything, even what looks like a tag.
  const untagged = operations.some((operation) => operation.isRaw) ? text : withoutTags(text);
  const parts = [];
  let at = 0;
  for (const { field, alias } of operations) {
    const head = `{"data":{"${field}":`;
    const found = untagged.indexOf(head, at);
    if (found === -1) continue; // an error
    parts.push(untagged.slice(at, found), `{"data":{"${alias}":`);
    at = found + head.length;
  }
  parts.push(untagged.slice(at));
  return parts.join('');
}

function withoutTags(text) {
  const parts = [];
  let at = 0;
  TAG.lastIndex = 0;
  for (let tag = TAG.exec(text); tag !== null; tag = TAG.exec(text)) {
    const end = endOfString(text, TAG.lastIndex) + 1;
    parts.push(text.slice(at, tag.index), text.slice(TAG.lastIndex, end));
    at = end + 1; // over the closing brace
    TAG.lastIndex = at;
  }
  parts.push(text.slice(at));
  return parts.join('');
}
