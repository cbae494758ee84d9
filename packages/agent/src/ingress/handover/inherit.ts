import type { Estate } from "./give.js";
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
  const ports = new Map<string, unknown>();
  return new Promise((resolve, reject) => {
    let onYours: (() => void) | undefined;
    const timer = setTimeout(
      () => reject(new Error("the predecessor did not hand over in time")),
      HANDOVER_DEADLINE_MS,
    );
    process.on("message", (message: Bequest, handle: unknown) => {
      if (message.kind === "port" && handle !== undefined) ports.set(message.key, handle);
      else if (message.kind === "yours") {
        clearTimeout(timer);
        onYours?.();
      } else if (message.kind === "table") {
        const { table, suspects } = message;
        const serve = (): Promise<void> =>
          new Promise((taken, failed) => {
            onYours = taken;
            process.once("disconnect", () => failed(new Error("the predecessor went")));
            say({ kind: "serving" });
          });
        resolve({ table, suspects, ports, serve });
      }
    });
    say({ kind: "ready" });
  });
}

function say(message: HeirReply): void {
  process.send?.(message);
}
