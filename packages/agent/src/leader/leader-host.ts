import { isIP } from "node:net";
import { PROBE_PORT, type Probe, probeUntilSilent } from "@berth/proto/probe";
import type { Ticker } from "../runtime/ticker.js";

/**
 * A live server accepts or refuses a connection at once; a dead host does neither. Eight tries tolerate packet loss.
 */
const CONNECT_PROBE = { tries: 8, tryMs: 50 };
/**
 * Finds a dead leader host within 1.1 s, about when the next leader is elected. The kernel responds to the probes, so a
 * busy server does not look dead. A multiple of the peer probe interval, so that both share one wake-up.
 */
const HOST_PROBE = { everyMs: 300, tries: 16, tryMs: 50 };

export interface HostLossOptions {
  /** "host:port" of the server. */
  readonly address: string;
  readonly probe: Probe;
  readonly ticker: Pick<Ticker, "next">;
}

/**
 * Probes the leader's host. Resolves with true when the host stops responding, and with false when `signal` is aborted.
 * A server with a host name is not probed: the name may resolve to several hosts.
 */
export async function waitForHostLoss(
  { address, probe, ticker }: HostLossOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) === 0) return false;
  const isReachable = await probe(
    { ...CONNECT_PROBE, address: host, port: Number(address.slice(colon + 1)) },
    signal,
  );
  if (!isReachable) return !signal.aborted;
  const pause = (): Promise<void> => ticker.next(HOST_PROBE.everyMs, signal);
  return probeUntilSilent({ ...HOST_PROBE, probe, pause, address: host, port: PROBE_PORT }, signal);
}
