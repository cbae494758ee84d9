import { isIP } from "node:net";
import { BerthError } from "@berth/proto";
import { probeHost, probeUntilSilent } from "@berth/proto/probe";
import { socketPathOf, splitAddress } from "./addresses.js";

const HOST_PROBE = { everyMs: 500, tries: 20, tryMs: 50, hasAnswered: true };
/** Time after which a call starts to probe the host. */
const PROBE_AFTER_MS = 500;

export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Returns call options whose signal also aborts when the server's host stops answering probes. A Unix socket has none. */
export function withHostProbe(
  address: string,
  options: CallOptions,
): { readonly options: CallOptions; stop(): void } {
  const { host, port } = splitAddress(address);
  const stopped = new AbortController();
  const lost = new AbortController();
  const probe = async (): Promise<void> => {
    const target = { ...HOST_PROBE, probe: probeHost, address: host, port };
    const isSilent = await probeUntilSilent(target, stopped.signal);
    if (isSilent) lost.abort(hostLostError(address));
  };
  const isRemote = socketPathOf(address) === undefined && isIP(host) !== 0;
  const timer = isRemote ? setTimeout(() => void probe(), PROBE_AFTER_MS) : undefined;
  const signal = options.signal ? AbortSignal.any([options.signal, lost.signal]) : lost.signal;
  const stop = (): void => {
    clearTimeout(timer);
    stopped.abort();
  };
  return { options: { ...options, signal }, stop };
}

function hostLostError(address: string): BerthError {
  const message = `lost connection to the berth server at ${address}: its host does not respond`;
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}
