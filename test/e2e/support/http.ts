import { fetchBody } from "../../../deploy/lab/http-traffic.js";

/**
 * Timeout of requests that must not fail. A busy machine delays replies by seconds, and a dropped packet by 1 s, then
 * by 2 s more. A lost request never gets a reply. `npm run bench -- failover` measures how long users wait.
 */
export const REPLY_TIMEOUT_MS = 8_000;

/** Sends one request on its own connection, and returns the body of the reply. Rejects after a status other than 200. */
export function fetchReply(url: string): Promise<string> {
  return fetchBody(url, REPLY_TIMEOUT_MS);
}

/** Sends `times` requests in sequence, each on its own connection, and returns the trimmed bodies. */
export async function fetchBodies(url: string, times: number): Promise<readonly string[]> {
  const bodies: string[] = [];
  for (let i = 0; i < times; i++) bodies.push((await fetchReply(url)).trim());
  return bodies;
}
