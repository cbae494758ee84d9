import { connect, isIP, type Socket } from "node:net";

/**
 * Where hosts are probed. Nothing listens there: what proves that a host lives is the reset that its kernel sends,
 * however busy or stuck its processes are, and a port without a listener is one that nobody can overload.
 */
export const PROBE_PORT = 7402;

export interface ProbeTarget {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
  /** Connections tried, one each `tryMs`; all of them are waited for until the last one's time is over. */
  readonly tries: number;
  readonly tryMs: number;
}

/**
 * Whether a host's kernel answers a connection, be it with an acceptance or a refusal. False after
 * `tries` × `tryMs` of silence, and when the signal fires. Never rejects.
 */
export type Probe = (target: ProbeTarget, signal: AbortSignal) => Promise<boolean>;

const MAX_PORT = 65_535;

/** What a kernel that lives says; "unreachable" comes from our own, or from a router on the way. */
const ANSWERS: ReadonlySet<unknown> = new Set(["ECONNREFUSED", "ECONNRESET"]);

/** Probes over the network. */
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
