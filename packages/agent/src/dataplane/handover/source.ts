import type { ChildProcess } from "node:child_process";
import type { Server } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { raceSignal } from "../../runtime/race-signal.js";
import { encodeSnapshot, HANDOVER_TIMEOUT_MS, type SourceMessage, type SuccessorMessage } from "./message.js";
import type { HandoverState, UdpFlowHandle } from "./state.js";

/**
 * Time limit for the first flows, at about 0.1 ms each. Flows that are not sent in time, which have been idle the
 * longest, start again in the successor.
 */
const FIRST_FLOWS_TIMEOUT_MS = 2_000;
/** Time limit for flows that started while the successor opened its listeners. */
const LATER_FLOWS_TIMEOUT_MS = 500;
/** Time limit for flows that started after the second pass. Reading is paused, so datagrams wait in the kernel. */
const LAST_FLOWS_TIMEOUT_MS = 50;

/** The operations of the running ingress process that a handover uses. */
export interface HandoverSource {
  state(): Omit<HandoverState, "flows">;
  flows(): Iterable<UdpFlowHandle>;
  /** Stops reading datagrams: they wait in the kernel for `resume` or for the successor. */
  pause(): void;
  resume(): void;
}

/**
 * Hands the sockets over to a successor process. The sockets stay open throughout: no connection is refused and no
 * datagram is lost. Resolves when the successor serves; the source may then close its own sockets. Rejects when the
 * successor exits or takes too long; the source then continues.
 */
export async function handOver(
  successor: ChildProcess,
  source: HandoverSource,
  timeoutMs = HANDOVER_TIMEOUT_MS,
): Promise<void> {
  const failure = new AbortController();
  const { signal } = failure;
  const timer = setTimeout(
    () => failure.abort(new Error(`successor did not take over within ${timeoutMs / 1_000} s`)),
    timeoutMs,
  );
  const onExit = (): void => failure.abort(new Error("successor exited"));
  const onError = (cause: Error): void => failure.abort(new Error("successor failed", { cause }));
  successor.once("exit", onExit);
  successor.once("error", onError);
  try {
    await waitForMessage(successor, "ready", signal);
    const offeredKeys = new Set<string>();
    await sendFlows({ successor, offeredKeys, signal, timeoutMs: FIRST_FLOWS_TIMEOUT_MS }, source.flows());
    const { sockets, ...snapshot } = source.state();
    for (const [key, handle] of sockets) void send(successor, { kind: "socket", key }, handle);
    void send(successor, { kind: "snapshot", bytes: encodeSnapshot(snapshot) });
    await waitForMessage(successor, "prepared", signal);
    await sendFlows({ successor, offeredKeys, signal, timeoutMs: LATER_FLOWS_TIMEOUT_MS }, source.flows());
    source.pause();
    // A flow that has just started is connected after this turn.
    await nextTurn();
    await sendFlows({ successor, offeredKeys, signal, timeoutMs: LAST_FLOWS_TIMEOUT_MS }, source.flows());
    void send(successor, { kind: "receive" });
    await waitForMessage(successor, "serving", signal);
  } catch (error) {
    source.resume();
    throw error;
  } finally {
    clearTimeout(timer);
    successor.off("exit", onExit);
    successor.off("error", onError);
  }
}

/** Tells the successor that everything is released, and closes the channel to it. */
export function releaseTo(successor: ChildProcess): void {
  void send(successor, { kind: "released" });
  if (successor.connected) successor.disconnect();
}

interface FlowTransfer {
  readonly successor: ChildProcess;
  /** Keys of flows that an earlier pass sent, or left out for lack of time. Each flow is offered once. */
  readonly offeredKeys: Set<string>;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/**
 * Sends flows one by one, so that this process keeps serving. Rejects when the signal aborts, even if the successor has
 * stopped reading.
 */
async function sendFlows(
  { successor, offeredKeys, signal, timeoutMs }: FlowTransfer,
  flows: Iterable<UdpFlowHandle>,
): Promise<void> {
  const newFlows = [...flows].filter(({ record }) => !offeredKeys.has(flowKey(record)));
  for (const { record } of newFlows) offeredKeys.add(flowKey(record));
  const endMs = performance.now() + timeoutMs;
  for (const { record, handle } of newFlows) {
    if (performance.now() > endMs) return;
    await raceSignal(send(successor, { kind: "flow", flow: record }, handle), signal);
  }
}

function flowKey({ listener, client, endpoint }: UdpFlowHandle["record"]): string {
  return `${listener} ${client} ${endpoint}`;
}

/**
 * Resolves when the message was sent or cannot be sent. The successor opens a port itself if it gets no socket for it.
 * Node.js also sends its own raw handles, which its types omit.
 */
function send(successor: ChildProcess, message: SourceMessage, handle?: unknown): Promise<void> {
  return new Promise((resolve) => {
    if (!successor.connected) resolve();
    else successor.send(message, handle as Server | undefined, {}, () => resolve());
  });
}

function waitForMessage(
  successor: ChildProcess,
  kind: SuccessorMessage["kind"],
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      if (typeof message !== "object" || message === null || !("kind" in message)) return;
      if (message.kind === kind) settle(resolve);
    };
    const onAbort = (): void => settle(() => reject(signal.reason));
    const settle = (then: () => void): void => {
      successor.off("message", onMessage);
      signal.removeEventListener("abort", onAbort);
      then();
    };
    successor.on("message", onMessage);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
