import { isIP } from "node:net";
import { PROBE_PORT, type Probe, untilSilent } from "@berth/proto/probe";
import type { Ticker } from "../runtime/ticker.js";

/** A server that lives accepts or refuses a connection at once; a dead host does neither. Some packets may be lost. */
const CONNECT = { tries: 8, tryMs: 50 };

/**
 * How a leader's host is watched: it is missed within 1.1 s of its power cut, about when another server
 * leads. The kernel answers, so a leader with much to do is not mistaken for a dead one. With every other question to
 * the peers, since the agent is awake then.
 */
const WATCH = { everyMs: 300, tries: 16, tryMs: 50 };

export interface ServerWatchOptions {
  /** "host:port" */
  readonly address: string;
  readonly probe: Probe;
  readonly pulse: Pick<Ticker, "next">;
}

/** Resolves with true when the server's host is gone without a word, with false when `signal` fires. Names are not watched. */
export async function untilHostGone(
  { address, probe, pulse }: ServerWatchOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) === 0) return false;
  const isThere = await probe({ ...CONNECT, address: host, port: Number(address.slice(colon + 1)) }, signal);
  if (!isThere) return !signal.aborted;
  const pause = (): Promise<void> => pulse.next(WATCH.everyMs, signal);
  return untilSilent({ ...WATCH, probe, pause, address: host, port: PROBE_PORT }, signal);
}
