import { fetchBody } from "../../../deploy/lab/http-traffic.js";

/** The bodies of `times` requests, one after the other, each on a connection of its own. */
export async function fetchBodies(url: string, times: number): Promise<readonly string[]> {
  const bodies: string[] = [];
  for (let i = 0; i < times; i++) bodies.push((await fetchBody(url)).trim());
  return bodies;
}
