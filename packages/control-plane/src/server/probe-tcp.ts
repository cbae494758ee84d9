import { connect, type Socket } from "node:net";
import { onAbort } from "../runtime/abort.js";

/** What came of an attempt to connect to a server's address. */
export type TcpProbeResult =
  /** Its kernel has accepted: the server listens, even if it is too busy to take the connection. */
  | {
      readonly kind: "open" /** Resolves when the other end is gone. */;
      readonly closed: Promise<void>;
      close(): void;
    }
  /** Its host answers, and nobody listens there. */
  | { readonly kind: "refused" }
  /** No answer in time. */
  | { readonly kind: "silent" };

/** Never rejects; silent when the signal fires. */
export type TcpProbe = (address: string, timeoutMs: number, signal: AbortSignal) => Promise<TcpProbeResult>;

/** One packet of twenty is lost in a bad network, and TCP itself repeats a first one after a second only. */
const REPEAT_MS = 50;

/** Knocks over the network, again and again until something answers: the first answer counts. */
export const probeTcp: TcpProbe = (address, timeoutMs, signal) =>
  new Promise((resolve) => {
    const sockets = new Set<Socket>();
    let isOver = false;
    let forget = (): void => {};
    const give = (result: TcpProbeResult, kept?: Socket): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      clearInterval(repetition);
      forget();
      for (const socket of sockets) if (socket !== kept) socket.destroy();
      resolve(result);
    };
    const attempt = (): void => {
      const socket = connect(hostAndPort(address));
      sockets.add(socket);
      const closed = new Promise<void>((gone) => void socket.once("close", () => gone()));
      socket.once("connect", () => give({ kind: "open", closed, close: () => socket.destroy() }, socket));
      socket.on("error", (error) => {
        // "Host unreachable" and the like come from our own kernel or a router, and prove nothing.
        if ("code" in error && error.code === "ECONNREFUSED") give({ kind: "refused" });
      });
      // What the server says first is nobody's business; unread it would keep the end from being noticed.
      socket.resume();
    };
    // An answer that waits behind this timer, because the process was busy, is read before the turn is over.
    const timer = setTimeout(() => setImmediate(give, { kind: "silent" }), timeoutMs);
    const repetition = setInterval(attempt, REPEAT_MS);
    forget = onAbort(signal, () => give({ kind: "silent" }));
    if (!isOver) attempt();
  });

function hostAndPort(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"),
    port: Number(address.slice(colon + 1)),
  };
}
