import { connect, type Socket } from "node:net";
import { onAbort } from "../runtime/abort.js";

export type TcpProbeResult =
  /** The kernel of the other host accepted the connection. The server may be too busy to serve it. */
  | {
      readonly kind: "open";
      /** Resolves when the connection ends. */
      readonly closed: Promise<void>;
      close(): void;
    }
  /** The other host is up, but no process listens on the port. */
  | { readonly kind: "refused" }
  /** No response within the timeout. */
  | { readonly kind: "timeout" };

/** Probes a server at "host:port". Never rejects; the result is `timeout` when the signal is aborted. */
export type TcpProbe = (address: string, timeoutMs: number, signal: AbortSignal) => Promise<TcpProbeResult>;

/** Interval between two connection attempts. The kernel alone would retransmit a lost SYN only after a second. */
const ATTEMPT_INTERVAL_MS = 50;

/** Opens a new connection every 50 ms until one of them is accepted or refused. Followers probe the leader with it. */
export const probeTcp: TcpProbe = (address, timeoutMs, signal) =>
  new Promise((resolve) => {
    const sockets = new Set<Socket>();
    let isDone = false;
    let removeListener = (): void => {};
    const finish = (result: TcpProbeResult, open?: Socket): void => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      clearInterval(interval);
      removeListener();
      for (const socket of sockets) {
        if (socket !== open) socket.destroy();
      }
      resolve(result);
    };
    const attempt = (): void => {
      const socket = connect(parseAddress(address));
      sockets.add(socket);
      const closed = new Promise<void>((done) => void socket.once("close", () => done()));
      socket.once("connect", () => finish({ kind: "open", closed, close: () => socket.destroy() }, socket));
      socket.on("error", (error) => {
        // Errors such as "host unreachable" come from this kernel or a router and do not show the leader's state.
        if ("code" in error && error.code === "ECONNREFUSED") finish({ kind: "refused" });
      });
      // The end of the connection is only reported after all data has been read.
      socket.resume();
    };
    // setImmediate: after a busy event loop, a response that has arrived is read before the timeout counts.
    const timer = setTimeout(() => setImmediate(finish, { kind: "timeout" }), timeoutMs);
    const interval = setInterval(attempt, ATTEMPT_INTERVAL_MS);
    removeListener = onAbort(signal, () => finish({ kind: "timeout" }));
    if (!isDone) attempt();
  });

function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"),
    port: Number(address.slice(colon + 1)),
  };
}
