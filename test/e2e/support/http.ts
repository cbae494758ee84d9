import { fetchBody } from "../../../deploy/lab/http-traffic.js";

/** Sends `times` requests in sequence, each on its own connection, and returns the trimmed bodies. */
export async function fetchBodies(url: string, times: number): Promise<readonly string[]> {
  const bodies: string[] = [];
  for (let i = 0; i < times; i++) bodies.push((await fetchBody(url)).trim());
  return bodies;
}
