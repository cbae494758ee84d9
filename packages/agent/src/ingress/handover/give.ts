import type { ChildProcess } from "node:child_process";
import type { Server } from "node:net";
import type { IngressTable } from "../table.js";
import { type Bequest, HANDOVER_DEADLINE_MS, type HeirReply } from "./message.js";

export interface Estate {
  readonly table: IngressTable;
  readonly suspects: readonly string[];
  /** Listening sockets of the published TCP ports, by listener. */
  readonly ports: ReadonlyMap<string, unknown>;
}

/**
 * Gives the listening sockets to a process that was started for it: they stay open all the time, and no connection is
 * refused. Resolves when it accepts; the giver may close its own then. Rejects when the process ends or takes too long.
 */
export async function giveTo(heir: ChildProcess, { table, suspects, ports }: Estate): Promise<void> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(new Error("it took too long")), HANDOVER_DEADLINE_MS);
  const onEnd = (): void => over.abort(new Error("it ended"));
  heir.once("exit", onEnd);
  heir.once("error", onEnd);
  try {
    await reply(heir, "ready", over.signal);
    for (const [key, handle] of ports) send(heir, { kind: "port", key }, handle);
    send(heir, { kind: "table", table, suspects });
    await reply(heir, "serving", over.signal);
  } finally {
    clearTimeout(timer);
    heir.off("exit", onEnd);
    heir.off("error", onEnd);
  }
}

/** The last word: from now on the heir is on its own. */
export function leaveTo(heir: ChildProcess): void {
  send(heir, { kind: "yours" });
  heir.disconnect();
}

/** Node passes its own raw handles as well as servers, which its types do not say. */
function send(heir: ChildProcess, message: Bequest, handle?: unknown): void {
  heir.send(message, handle as Server | undefined, {}, () => undefined);
}

function reply(heir: ChildProcess, kind: HeirReply["kind"], signal: AbortSignal): Promise<void> {
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
