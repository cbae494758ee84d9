import type { Estate, GivenFlow } from "./estate.js";
import { type Bequest, HANDOVER_DEADLINE_MS, type HeirReply } from "./message.js";

export interface Inheritance extends Estate {
  /**
   * Tells the predecessor that all of it is in place. Resolves when it reads no datagrams any more, with the flows that
   * have begun since it gave those of the estate.
   */
  prepared(): Promise<readonly GivenFlow[]>;
  /** Tells that these are read here; resolves when the predecessor has let go of everything else. */
  serve(): Promise<void>;
}

/**
 * Takes over what the process that started this one has. Rejects when it does not give it in time, or goes, as what it
 * returns does: nothing is ours then.
 */
export function inherit(): Promise<Inheritance> {
  const sockets = new Map<string, unknown>();
  let flows: GivenFlow[] = [];
  const takeFlows = (): readonly GivenFlow[] => {
    const taken = flows;
    flows = [];
    return taken;
  };
  return new Promise((resolve, reject) => {
    let onNext: (kind: Bequest["kind"]) => void = () => {};
    const timer = setTimeout(
      () => reject(new Error("the predecessor did not hand over in time")),
      HANDOVER_DEADLINE_MS,
    );
    const next = (said: HeirReply["kind"], awaited: Bequest["kind"]): Promise<void> =>
      new Promise((come, failed) => {
        const gone = (): void => failed(new Error("the predecessor went"));
        process.once("disconnect", gone);
        onNext = (kind) => {
          if (kind !== awaited) return;
          process.off("disconnect", gone);
          come();
        };
        say({ kind: said });
      });
    process.on("message", (message: Bequest, handle: unknown) => {
      if (message.kind === "flow") {
        if (handle !== undefined) flows.push({ record: message.flow, handle });
      } else if (message.kind === "socket") {
        if (handle !== undefined) sockets.set(message.key, handle);
      } else if (message.kind === "table") {
        const { kind, ...estate } = message;
        resolve({
          ...estate,
          sockets,
          flows: takeFlows(),
          prepared: () => next("prepared", "yours-to-read").then(takeFlows),
          serve: () => next("serving", "yours").finally(() => clearTimeout(timer)),
        });
      }
      onNext(message.kind);
    });
    say({ kind: "ready" });
  });
}

function say(message: HeirReply): void {
  process.send?.(message);
}
