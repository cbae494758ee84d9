import { connect, isIP, type Socket } from "node:net";

/**
 * TCP port for probes of a host. No process listens on this port, so the host's kernel responds with a reset, even when
 * the processes on the host are overloaded.
 */
export const PROBE_PORT = 7402;

export interface ProbeTarget {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
  /** Number of connection attempts, one every `tryMs`. All of them stay open until the last one times out. */
  readonly tries: number;
  readonly tryMs: number;
}

/**
 * Returns whether a host's kernel responds to a connection attempt, by accepting or refusing it. False after `tries` ×
 * `tryMs` without a response, and when the signal is aborted. Never rejects.
 */
export type Probe = (target: ProbeTarget, signal: AbortSignal) => Promise<boolean>;

const MAX_PORT = 65_535;

/** Errors that show a response from the probed kernel. Other errors come from this host's kernel or a router. */
const RESPONSE_CODES: ReadonlySet<unknown> = new Set(["ECONNREFUSED", "ECONNRESET"]);

/** Probes a host with TCP connection attempts. */
export const probeHost: Probe = ({ address, port, tries, tryMs }, signal) =>
  new Promise((resolve) => {
    const sockets: Socket[] = [];
    let timer: NodeJS.Timeout | undefined;
    const finish = (answered: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      for (const socket of sockets) socket.destroy();
      resolve(answered);
    };
    const onAbort = (): void => finish(false);
    const tryNext = (): void => {
      if (sockets.length >= tries) {
        finish(false);
        return;
      }
      sockets.push(startAttempt({ host: address, port }, () => finish(true)));
      timer = setTimeout(tryNext, tryMs);
    };
    if (signal.aborted || isIP(address) === 0 || port > MAX_PORT) {
      resolve(false);
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    tryNext();
  });

function startAttempt(
  target: { readonly host: string; readonly port: number },
  onAnswer: () => void,
): Socket {
  const socket = connect(target);
  socket.once("connect", onAnswer);
  socket.on("error", (error) => {
    if ("code" in error && RESPONSE_CODES.has(error.code)) onAnswer();
  });
  return socket;
}
