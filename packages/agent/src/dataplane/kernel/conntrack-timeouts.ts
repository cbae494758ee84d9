import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { ESTABLISHED_S, HALF_CLOSED_S } from "./tcp-timeouts.js";

const FOLDER = "/proc/sys/net/netfilter";
const AT_LEAST_S = {
  nf_conntrack_tcp_timeout_established: ESTABLISHED_S,
  nf_conntrack_tcp_timeout_close_wait: HALF_CLOSED_S,
} as const;

/**
 * Raises what this host's kernel remembers connections for, as kube-proxy does; never lowers it. Docker's own address
 * translation goes by that, for what other hosts send here, and ours as soon as its table is replaced. What cannot be
 * changed is left: connections are cut a little sooner then.
 */
export async function raiseConntrackTimeouts(log: Logger, folder = FOLDER): Promise<void> {
  for (const [name, seconds] of Object.entries(AT_LEAST_S)) {
    const path = join(folder, name);
    try {
      const before = Number(await readFile(path, "utf8"));
      if (before >= seconds) continue;
      await writeFile(path, String(seconds));
      log.info({ setting: name, before, now: seconds }, "idle connections are remembered for longer");
    } catch (error) {
      log.info({ err: error, setting: name }, "this host's patience with idle connections is left as it is");
    }
  }
}
