/**
 * Where does a string of JSON end?
 *
 * By searching for quotes, not by a regular expression: those give up on strings of some megabytes.
 */

/**
 * @param {string} text
 * @param {number} start of the string: its opening quote
 * @returns {number} where its closing quote is; -1 if it has none
 */
export function endOfString(text, start) {
  let end = start;
  do {
    end = text.indexOf('"', end + 1);
  } while (end !== -1 && isEscaped(text, end));
  return end;
}

function isEscaped(text, at) {
  let backslashes = 0;
  while (text[at - 1 - backslashes] === '\\') backslashes++;
  return backslashes % 2 === 1;
}
