import { connect } from "node:net";
import { onAbort } from "../../store/abort.js";

/** What came of an attempt to connect to a server's address. */
export type Knocked =
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
export type Knock = (address: string, timeoutMs: number, signal: AbortSignal) => Promise<Knocked>;

/** Knocks over the network. */
export const knock: Knock = (address, timeoutMs, signal) =>
  new Promise((resolve) => {
    const socket = connect(hostAndPort(address));
    const closed = new Promise<void>((gone) => void socket.once("close", () => gone()));
    const give = (result: Knocked): void => {
      clearTimeout(timer);
      forget();
      if (result.kind !== "open") socket.destroy();
      resolve(result);
    };
    // An answer that waits behind this timer, because the process was busy, is read before the turn is over.
    const timer = setTimeout(() => setImmediate(give, { kind: "silent" }), timeoutMs);
    const forget = onAbort(signal, () => {
      socket.destroy();
      give({ kind: "silent" });
    });
    socket.once("connect", () => give({ kind: "open", closed, close: () => socket.destroy() }));
    socket.on("error", (error) => {
      // "Host unreachable" and the like come from our own kernel or a router, and prove nothing.
      if ("code" in error && error.code === "ECONNREFUSED") give({ kind: "refused" });
    });
    // What the server says first is nobody's business; unread it would keep the end from being noticed.
    socket.resume();
  });

function hostAndPort(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"),
    port: Number(address.slice(colon + 1)),
  };
}
