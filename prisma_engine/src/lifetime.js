/**
 * When does the engine end?
 *
 * At SIGTERM and SIGINT, at once, as the binary does; and, as the binary does not, when its parent has ended: an engine
 * that outlives its gateway would keep connections that nobody uses.
 */

/** How often to look; Node cannot have itself told. */
const POLL_MS = 1000;

/** @param {() => never} end */
export function endWithParentOrBySignal(end) {
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) end();
  }, POLL_MS).unref();
}
