import { FACTS_SCRIPT, type HostFacts, parseHostFacts } from "../core/hosts/host-facts.js";
import type { SshConnection } from "./ssh-connection.js";

/** Timeout of the script, which tries to connect to each server for up to 5 s. */
const EXAMINE_TIMEOUT_MS = 60_000;

export interface ExaminedHost {
  readonly facts: HostFacts;
  /** Time by which the host's clock is ahead of this machine's. */
  readonly clockAheadMs: number;
}

/**
 * Collects facts about a host over ssh. Changes nothing.
 *
 * @param servers "host:port" of each server of the cluster
 */
export async function examineHost(
  ssh: SshConnection,
  servers: readonly string[],
  now: () => number,
): Promise<ExaminedHost> {
  const startMs = now();
  const { stdout } = await ssh.run({ script: FACTS_SCRIPT, args: servers, timeoutMs: EXAMINE_TIMEOUT_MS });
  const facts = parseHostFacts(stdout);
  // The host read its clock at some time between the start and the end of the script.
  const clockAheadMs = Math.max(0, facts.clockMs - now()) + Math.min(0, facts.clockMs + 1_000 - startMs);
  return { facts, clockAheadMs };
}
