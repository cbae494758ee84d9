import { connect, isIP, type Socket } from "node:net";

/**
 * The port at which hosts are probed. Nothing listens on it: the kernel answers with a reset, however busy the host's
 * processes are, and a port without a listener cannot be overloaded.
 */
export const PROBE_PORT = 7402;

export interface ProbeTarget {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
  /** Number of connection attempts, one every `tryMs`. Any of them can be answered until the last one times out. */
  readonly tries: number;
  readonly tryMs: number;
}

/**
 * Returns whether a host's kernel answers a connection attempt, by accepting or refusing it. False after `tries` ×
 * `tryMs` without an answer, and when the signal aborts. Never rejects.
 */
export type Probe = (target: ProbeTarget, signal: AbortSignal) => Promise<boolean>;

const MAX_PORT = 65_535;

/** Answers of the probed kernel. "Unreachable" errors come from this host's kernel, or from a router. */
const ANSWERS: ReadonlySet<unknown> = new Set(["ECONNREFUSED", "ECONNRESET"]);

/** Probes a host by TCP. */
export const probeHost: Probe = ({ address, port, tries, tryMs }, signal) =>
  new Promise((resolve) => {
    const sockets: Socket[] = [];
    let timer: NodeJS.Timeout | undefined;
    const end = (answered: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      for (const socket of sockets) socket.destroy();
      resolve(answered);
    };
    const onAbort = (): void => end(false);
    const tryNext = (): void => {
      if (sockets.length < tries) {
        sockets.push(attempt({ host: address, port }, () => end(true)));
        timer = setTimeout(tryNext, tryMs);
      } else {
        end(false);
      }
    };
    if (signal.aborted || isIP(address) === 0 || port > MAX_PORT) {
      resolve(false);
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    tryNext();
  });

function attempt(to: { readonly host: string; readonly port: number }, onAnswer: () => void): Socket {
  const socket = connect(to);
  socket.once("connect", onAnswer);
  socket.on("error", (error) => {
    if ("code" in error && ANSWERS.has(error.code)) onAnswer();
  });
  return socket;
}
