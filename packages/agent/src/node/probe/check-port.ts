import { connect } from "node:net";
import type { PortCheckResult } from "../../core/tasks/readiness.js";

/** Timeout of a check. A container on this host responds immediately, unless the host is busy. */
const TIMEOUT_MS = 200;

/** Connects to a port of a container on this host and returns the result. Never rejects. */
export type CheckPort = (address: string, port: number, signal: AbortSignal) => Promise<PortCheckResult>;

/** Disconnects as soon as the port has responded. */
export const checkPort: CheckPort = (address, port, signal) =>
  new Promise((resolve) => {
    if (signal.aborted) {
      resolve("unanswered");
      return;
    }
    const socket = connect({ host: address, port });
    const finish = (result: PortCheckResult): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(result);
    };
    const onAbort = (): void => finish("unanswered");
    const timer = setTimeout(() => finish("unanswered"), TIMEOUT_MS);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => finish("accepted"));
    socket.on("error", (error) =>
      finish("code" in error && error.code === "ECONNREFUSED" ? "refused" : "unanswered"),
    );
  });
