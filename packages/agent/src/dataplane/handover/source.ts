import type { ChildProcess } from "node:child_process";
import type { Server } from "node:net";
import { setImmediate as turnOfLoop } from "node:timers/promises";
import { raceSignal } from "../../runtime/race-signal.js";
import { HANDOVER_DEADLINE_MS, type SourceMessage, type SuccessorMessage } from "./message.js";
import type { HandoverState, UdpFlowHandle } from "./state.js";

/**
 * A flow takes some 0.1 ms. The clients of those that cannot be given in this time, which were silent for the longest
 * time, are new ones to the successor.
 */
const FLOWS_MS = 2_000;
/** For those that began meanwhile; at last while nobody reads what clients send, which waits in the kernel. */
const LATER_FLOWS_MS = 500;
const LAST_FLOWS_MS = 50;

/** What is given, as it is at the moment. */
export interface HandoverSource {
  estate(): Omit<HandoverState, "flows">;
  flows(): Iterable<UdpFlowHandle>;
  /** What is sent to ports of datagrams waits in the kernel, until `resume` or a successor. */
  pause(): void;
  resume(): void;
}

/**
 * Gives the sockets to a process that was started for it: they stay open all the time, no connection is refused and no
 * datagram is lost. Resolves when it takes what comes; the giver may close its own then. Rejects when the process ends
 * or takes too long: then the giver goes on.
 */
export async function handOver(
  heir: ChildProcess,
  giver: HandoverSource,
  deadlineMs = HANDOVER_DEADLINE_MS,
): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  const timer = setTimeout(() => over.abort(new Error("it took too long")), deadlineMs);
  const onEnd = (): void => over.abort(new Error("it ended"));
  heir.once("exit", onEnd);
  heir.once("error", onEnd);
  try {
    await reply(heir, "ready", signal);
    const known = new Set<string>();
    await giveFlows({ heir, known, signal, withinMs: FLOWS_MS }, giver.flows());
    const { sockets, ...rest } = giver.estate();
    for (const [key, handle] of sockets) void send(heir, { kind: "socket", key }, handle);
    void send(heir, { kind: "table", ...rest });
    await reply(heir, "prepared", signal);
    await giveFlows({ heir, known, signal, withinMs: LATER_FLOWS_MS }, giver.flows());
    giver.pause();
    // A flow that has just begun has its socket then.
    await turnOfLoop();
    await giveFlows({ heir, known, signal, withinMs: LAST_FLOWS_MS }, giver.flows());
    void send(heir, { kind: "yours-to-read" });
    await reply(heir, "serving", signal);
  } catch (error) {
    giver.resume();
    throw error;
  } finally {
    clearTimeout(timer);
    heir.off("exit", onEnd);
    heir.off("error", onEnd);
  }
}

/** The last word: from now on the heir is on its own. */
export function leaveTo(heir: ChildProcess): void {
  void send(heir, { kind: "yours" });
  if (heir.connected) heir.disconnect();
}

interface Giving {
  readonly heir: ChildProcess;
  /** What needs not be given any more. */
  readonly known: Set<string>;
  readonly signal: AbortSignal;
  readonly withinMs: number;
}

/** One after the other, so that this process goes on serving meanwhile. One that takes none of them ends it by the signal. */
async function giveFlows(
  { heir, known, signal, withinMs }: Giving,
  flows: Iterable<UdpFlowHandle>,
): Promise<void> {
  const fresh = [...flows].filter(({ record }) => !known.has(nameOf(record)));
  for (const { record } of fresh) known.add(nameOf(record));
  const endMs = performance.now() + withinMs;
  for (const { record, handle } of fresh) {
    if (performance.now() > endMs) return;
    await raceSignal(send(heir, { kind: "flow", flow: record }, handle), signal);
  }
}

function nameOf({ listener, client, endpoint }: UdpFlowHandle["record"]): string {
  return `${listener} ${client} ${endpoint}`;
}

/** Resolves when it is on its way, or cannot be. Node passes its own raw handles as well, which its types do not say. */
function send(heir: ChildProcess, message: SourceMessage, handle?: unknown): Promise<void> {
  return new Promise((resolve) => {
    if (!heir.connected) resolve();
    else heir.send(message, handle as Server | undefined, {}, () => resolve());
  });
}

function reply(heir: ChildProcess, kind: SuccessorMessage["kind"], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      if (typeof message !== "object" || message === null || !("kind" in message)) return;
      if (message.kind === kind) end(resolve);
    };
    const onAbort = (): void => end(() => reject(signal.reason));
    const end = (then: () => void): void => {
      heir.off("message", onMessage);
      signal.removeEventListener("abort", onAbort);
      then();
    };
    heir.on("message", onMessage);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
