import { setTimeout as sleep } from "node:timers/promises";
import { scaleTimeout } from "../../../deploy/lab/wait-until.js";

const POLL_MS = 25;
/** Far above what anything here takes, below the test's own limit: the message says what did not come. */
const TIMEOUT_MS = scaleTimeout(40_000);

/** Waits until `look` returns something other than undefined and false, and returns it. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadlineMs = Date.now() + TIMEOUT_MS;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (Date.now() > deadlineMs) throw new Error(`waited ${TIMEOUT_MS / 1_000} s for: ${what}`);
    await sleep(POLL_MS);
  }
}
