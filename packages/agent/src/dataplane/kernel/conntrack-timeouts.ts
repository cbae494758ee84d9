import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";

/**
 * How long the kernel tracks an idle connection, in seconds; the same values as kube-proxy. Packets of a connection
 * that is no longer tracked are not translated, and the receiver resets it.
 */
const ESTABLISHED_S = 86_400;
/**
 * Timeout of a connection whose client has sent its FIN and waits for the answer. The kernel's default of 60-120 s is
 * shorter than many answers.
 */
const HALF_CLOSED_S = 3_600;
/**
 * Timeout of a connection whose SYN was not answered. Linux retransmits a SYN after 1 s: the retransmission then starts
 * a new entry and goes to another endpoint.
 */
const UNANSWERED_S = 1;

/** Timeouts of balanced TCP connections, as the policy of an nftables `ct timeout` object. */
export const TCP_TIMEOUT_POLICY = `syn_sent : ${UNANSWERED_S}, established : ${ESTABLISHED_S}, close_wait : ${HALF_CLOSED_S}`;

const SYSCTL_DIRECTORY = "/proc/sys/net/netfilter";
const MINIMUM_S = {
  nf_conntrack_tcp_timeout_established: ESTABLISHED_S,
  nf_conntrack_tcp_timeout_close_wait: HALF_CLOSED_S,
} as const;

/**
 * Raises the host's conntrack timeouts, as kube-proxy does, and never lowers them. They apply to connections that
 * Docker's own NAT translates, and to berth's own after its table is replaced: the kernel drops a `ct timeout` policy
 * from connections when the policy's table is deleted. A setting that cannot be changed is logged and skipped.
 */
export async function raiseConntrackTimeouts(log: Logger, directory = SYSCTL_DIRECTORY): Promise<void> {
  for (const [name, seconds] of Object.entries(MINIMUM_S)) {
    const path = join(directory, name);
    try {
      const before = Number(await readFile(path, "utf8"));
      if (before >= seconds) continue;
      await writeFile(path, String(seconds));
      log.info({ setting: name, before, now: seconds }, "raised conntrack timeout");
    } catch (error) {
      log.info({ err: error, setting: name }, "cannot raise conntrack timeout");
    }
  }
}
