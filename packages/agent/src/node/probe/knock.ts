import { connect, isIP } from "node:net";

/** A container on this host answers at once; from one that does not, nothing can be learnt. */
const KNOCK_TIMEOUT_MS = 200;

/** Whether a port of a container of this host refuses connections. Never rejects; false when that cannot be told. */
export type Knock = (address: string, port: number, signal: AbortSignal) => Promise<boolean>;

/** Connects, and hangs up at once. */
export const knockAt: Knock = (address, port, signal) =>
  new Promise((resolve) => {
    if (signal.aborted || isIP(address) === 0) {
      resolve(false);
      return;
    }
    const socket = connect({ host: address, port });
    const end = (isRefused: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(isRefused);
    };
    const onAbort = (): void => end(false);
    const timer = setTimeout(() => end(false), KNOCK_TIMEOUT_MS);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => end(false));
    socket.on("error", (error) => end("code" in error && error.code === "ECONNREFUSED"));
  });
