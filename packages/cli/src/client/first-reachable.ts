import { connect, type Socket } from "node:net";
import { scaleTiming } from "@berth/proto";
import { socketPathOf, splitAddress } from "./addresses.js";

/** Delay before the next server is tried in parallel. A server on the same network accepts much sooner. */
const STAGGER_MS = 150;

/** Timeout of a connection attempt. */
const CONNECT_TIMEOUT_MS = scaleTiming(3_000);

/** Connects to the addresses with staggered starts. Returns the first one that accepts, or undefined if none does. */
export function firstReachable(
  addresses: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const sockets: Socket[] = [];
  const timers: NodeJS.Timeout[] = [];
  let onAbort = (): void => {};
  return new Promise<string | undefined>((resolve) => {
    onAbort = () => resolve(undefined);
    let pendingCount = addresses.length;
    if (signal?.aborted) resolve(undefined);
    signal?.addEventListener("abort", onAbort, { once: true });
    timers.push(setTimeout(() => resolve(undefined), CONNECT_TIMEOUT_MS));
    const tryConnect = (address: string): void => {
      const path = socketPathOf(address);
      const socket = connect(path === undefined ? splitAddress(address) : { path });
      sockets.push(socket);
      socket.once("connect", () => resolve(address));
      socket.on("error", () => {
        pendingCount -= 1;
        if (pendingCount === 0) resolve(undefined);
      });
    };
    for (const [index, address] of addresses.entries()) {
      timers.push(setTimeout(() => tryConnect(address), index * STAGGER_MS));
    }
  }).finally(() => {
    signal?.removeEventListener("abort", onAbort);
    for (const timer of timers) clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
  });
}
