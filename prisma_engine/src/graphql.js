/**
 * What does a GraphQL text ask for?
 *
 * Comes in: the text that prisma-client-py writes: one operation with one field. Goes out: that field as a tree. Knows
 * nothing of the data model. Fragments, variables and directives, which prisma-client-py never writes, are errors.
 *
 * @typedef {{kind: 'string', text: string}} StringValue its JSON text, with quotes: GraphQL and JSON escape alike
 * @typedef {{kind: 'literal', text: string}} LiteralValue a number, `true`, `false` or `null`; as JSON text
 * @typedef {{kind: 'name', text: string}} NameValue a member of an enum
 * @typedef {{kind: 'list', items: Value[]}} ListValue
 * @typedef {{kind: 'object', entries: [string, Value][]}} ObjectValue
 * @typedef {StringValue | LiteralValue | NameValue | ListValue | ObjectValue} Value
 *
 * @typedef {object} Field
 * @property {string} name
 * @property {string} alias what its result is called; its name if the text gives no other
 * @property {[string, Value][] | null} args null when it has no parentheses
 * @property {Field[] | null} selection null when it has no braces
 */

import { endOfString } from './json_strings.js';

const WORD = /[A-Za-z_][0-9A-Za-z_]*/y;
const NUMBER = /-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const IGNORED = /(?:[\s,\ufeff]|#[^\n]*)*/y;
const LITERALS = new Set(['true', 'false', 'null']);
const SHOWN_CHARS = 40;

/** A text that is not what prisma-client-py writes. */
export class GraphqlError extends Error {}

/**
 * Read a text.
 *
 * @param {string} text such as `query { result: findManyUser { id } }`
 * @returns {Field} the one field of its one operation
 * @throws {GraphqlError} it is something else
 */
export function parse(text) {
  return new Parser(text).operation();
}

class Parser {
  #text;
  #at = 0;

  constructor(text) {
    this.#text = text;
  }

  operation() {
    if (this.#peek() !== '{') this.#word(); // query or mutation
    this.#expect('{');
    const field = this.#field();
    this.#expect('}');
    if (this.#peek() !== undefined) this.#fail('the end of the text');
    return field;
  }

  #field() {
    const first = this.#word();
    const isAlias = this.#skip(':');
    const name = isAlias ? this.#word() : first;
    const args = this.#skip('(') ? this.#entries(')') : null;
    const selection = this.#skip('{') ? this.#until('}', () => this.#field()) : null;
    return { name, alias: first, args, selection };
  }

  #entries(end) {
    return this.#until(end, () => {
      const name = this.#word();
      this.#expect(':');
      return [name, this.#value()];
    });
  }

  #value() {
    switch (this.#peek()) {
      case '"':
        return { kind: 'string', text: this.#string() };
      case '{':
        this.#at++;
        return { kind: 'object', entries: this.#entries('}') };
      case '[':
        this.#at++;
        return { kind: 'list', items: this.#until(']', () => this.#value()) };
    }
    const number = this.#match(NUMBER);
    if (number !== null) return { kind: 'literal', text: number };
    const text = this.#word();
    return { kind: LITERALS.has(text) ? 'literal' : 'name', text };
  }

  #string() {
    const start = this.#at;
    const end = endOfString(this.#text, start);
    if (end === -1) this.#fail('the end of a string');
    this.#at = end + 1;
    return this.#text.slice(start, this.#at);
  }

  #until(end, readItem) {
    const items = [];
    while (!this.#skip(end)) items.push(readItem());
    return items;
  }

  #word() {
    this.#peek();
    return this.#match(WORD) ?? this.#fail('a name');
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return null;
    this.#at = pattern.lastIndex;
    return found[0];
  }

  #peek() {
    this.#match(IGNORED);
    return this.#text[this.#at];
  }

  #skip(character) {
    if (this.#peek() !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character) {
    if (!this.#skip(character)) this.#fail(`"${character}"`);
  }

  #fail(expected) {
    const found = this.#text.slice(this.#at, this.#at + SHOWN_CHARS) || 'the end';
    throw new GraphqlError(`expected ${expected} at character ${this.#at} of the query, found: ${found}`);
  }
}
