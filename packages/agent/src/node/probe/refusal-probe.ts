import { connect, isIP } from "node:net";

/** Containers on this host answer at once. Longer silence means nothing. */
const TIMEOUT_MS = 200;

/** Returns whether a port of a container on this host refuses connections; false when that is unknown. Never rejects. */
export type RefusalProbe = (address: string, port: number, signal: AbortSignal) => Promise<boolean>;

/** Connects and disconnects at once. */
export const isPortRefused: RefusalProbe = (address, port, signal) =>
  new Promise((resolve) => {
    if (signal.aborted || isIP(address) === 0) {
      resolve(false);
      return;
    }
    const socket = connect({ host: address, port });
    const finish = (isRefused: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(isRefused);
    };
    const onAbort = (): void => finish(false);
    const timer = setTimeout(() => finish(false), TIMEOUT_MS);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => finish(false));
    socket.on("error", (error) => finish("code" in error && error.code === "ECONNREFUSED"));
  });
