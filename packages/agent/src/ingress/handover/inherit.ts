import type { Estate, GivenFlow } from "./estate.js";
import { type Bequest, HANDOVER_DEADLINE_MS, type HeirReply } from "./message.js";

export interface Inheritance extends Estate {
  /** Tells the predecessor that connections are accepted here; resolves when it has let go of everything else. */
  serve(): Promise<void>;
}

/**
 * Takes over what the process that started this one has. Rejects when it does not give it in time, or goes: nothing is
 * ours then.
 */
export function inherit(): Promise<Inheritance> {
  const sockets = new Map<string, unknown>();
  const flows: GivenFlow[] = [];
  return new Promise((resolve, reject) => {
    let onYours: (() => void) | undefined;
    const timer = setTimeout(
      () => reject(new Error("the predecessor did not hand over in time")),
      HANDOVER_DEADLINE_MS,
    );
    process.on("message", (message: Bequest, handle: unknown) => {
      switch (message.kind) {
        case "flow":
          if (handle !== undefined) flows.push({ record: message.flow, handle });
          return;
        case "socket":
          if (handle !== undefined) sockets.set(message.key, handle);
          return;
        case "yours":
          clearTimeout(timer);
          onYours?.();
          return;
        case "table": {
          const { kind, ...estate } = message;
          const serve = (): Promise<void> =>
            new Promise((taken, failed) => {
              onYours = taken;
              process.once("disconnect", () => failed(new Error("the predecessor went")));
              say({ kind: "serving" });
            });
          resolve({ ...estate, sockets, flows, serve });
        }
      }
    });
    say({ kind: "ready" });
  });
}

function say(message: HeirReply): void {
  process.send?.(message);
}
