import { request } from "node:http";

/** A daemon that is starting accepts connections before it answers. */
const PING_TIMEOUT_MS = 1_000;

/** Whether a Docker daemon answers on its socket. */
export function pingDocker(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: "/_ping", timeout: PING_TIMEOUT_MS }, (response) => {
      response.resume();
      response.on("close", () => resolve(response.statusCode === 200));
    });
    ping.on("timeout", () => ping.destroy());
    ping.on("error", () => resolve(false));
    ping.end();
  });
}
