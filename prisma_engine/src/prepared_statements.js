/**
 * Which statements are worth keeping prepared on each connection, and under which name?
 *
 * Comes in: SQL. Goes out: a name, for pg, which prepares each name once on each connection. A statement gets one when
 * it comes for the second time, so that those that come once, such as long lists of values, leave the places to others.
 */

/** How many statements are remembered that came once. */
const SEEN_ONCE_MAX = 1000;

export class PreparedStatements {
  #max;
  #names = new Map();
  #seenOnce = new Set();

  /** @param {number} max how many get a name; 0 for none */
  constructor(max) {
    this.#max = max;
  }

  /**
   * @param {string} sql
   * @returns {string | undefined} always the same for the same SQL, once it has one
   */
  nameOf(sql) {
    const name = this.#names.get(sql);
    if (name !== undefined || this.#names.size >= this.#max) return name;
    if (this.#seenOnce.delete(sql)) {
      this.#names.set(sql, `s${this.#names.size}`);
      return this.#names.get(sql);
    }
    if (this.#seenOnce.size >= SEEN_ONCE_MAX) this.#seenOnce.clear();
    this.#seenOnce.add(sql);
    return undefined;
  }
}
