/** Delay before the first attempt to reconnect. It doubles with each attempt. */
const FIRST_DELAY_MS = 250;
/** Maximum delay before an attempt to reconnect. */
const MAX_DELAY_MS = 5_000;

/**
 * Returns how long to wait before the next attempt to connect.
 *
 * @param failures number of attempts that have failed in a row
 * @param random between 0 and 1: spreads the attempts of all pages
 */
export function reconnectDelayMs(failures: number, random: number): number {
  const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.max(0, failures - 1));
  return Math.round(delayMs * (0.5 + random / 2));
}
