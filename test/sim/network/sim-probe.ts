import { setMaxListeners } from "node:events";
import type { Probe } from "@berth/proto/probe";
import type { TcpProbe } from "../../../packages/control-plane/src/server/probe-tcp.js";
import type { Actor } from "../simulator/actor.js";
import { Connection } from "./connection.js";
import type { Network } from "./network.js";

/** A kernel answers a SYN whatever its programs do: silence means no power, or no way there or back. */
export function simProbe(network: Network, actor: Actor): Probe {
  return async ({ address, tries, tryMs }, signal) => {
    const host = network.hostAt(address);
    const over = new AbortController();
    setMaxListeners(0, over.signal);
    const end = (): void => over.abort();
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    const attempts = Array.from({ length: tries }, async (_, attempt) => {
      await pause(network, actor, attempt * tryMs, over.signal);
      const isAnswered = await answers(network, actor, host, (tries - attempt) * tryMs, over.signal);
      if (isAnswered) end();
      return isAnswered;
    });
    const found = await Promise.all(attempts);
    signal.removeEventListener("abort", end);
    return found.includes(true) && !signal.aborted;
  };
}

function pause(network: Network, actor: Actor, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      cancel();
      signal.removeEventListener("abort", settle);
      resolve();
    };
    const cancel = network.scheduler.after(ms, actor, settle);
    signal.addEventListener("abort", settle, { once: true });
    if (signal.aborted) settle();
  });
}

/** As a server tries whether another one listens. */
export function simTcpProbe(network: Network, actor: Actor): TcpProbe {
  return async (address, timeoutMs, signal) => {
    const host = network.hostAt(address.slice(0, address.lastIndexOf(":")));
    if (!(await answers(network, actor, host, timeoutMs, signal))) return { kind: "timeout" };
    const listener = network.listeners.get(address);
    if (listener === undefined) return { kind: "refused" };
    let tell: () => void = () => {};
    const closed = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const connection = new Connection(
      network,
      { actor, onBroken: () => tell() },
      { actor: listener.actor, onBroken: () => {} },
    );
    return { kind: "open", closed, close: () => connection.close() };
  };
}

/**
 * Returns whether a segment gets there and its answer back within a time; false at the end of it, or when the signal is
 * aborted.
 */
function answers(
  network: Network,
  actor: Actor,
  host: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { scheduler } = network;
  return new Promise((resolve) => {
    const settle = (isAnswered: boolean): void => {
      cancel();
      signal.removeEventListener("abort", onAbort);
      resolve(isAnswered);
    };
    const onAbort = (): void => settle(false);
    const cancel = scheduler.after(timeoutMs, actor, () => settle(false));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) return settle(false);
    const thereMs = network.delayMs(actor.host, host);
    scheduler.afterQuiet(thereMs, () => {
      if (!network.reaches(actor.host, host)) return;
      scheduler.after(network.delayMs(host, actor.host), actor, () => {
        if (network.reaches(host, actor.host)) settle(true);
      });
    });
  });
}
