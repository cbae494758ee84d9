import type { Estate, GivenFlow } from "./estate.js";
import { type Bequest, HANDOVER_DEADLINE_MS, type HeirReply } from "./message.js";

export interface Inheritance extends Estate {
  /**
   * Tells the predecessor that all of it is in place. Resolves when it reads no datagrams any more, with the flows that
   * have begun since it gave those of the estate.
   */
  prepared(): Promise<readonly GivenFlow[]>;
  /** Tells that these are read here; resolves when the predecessor has let go of everything else, or is gone. */
  serve(): Promise<void>;
}

/**
 * Takes over what the process that started this one has. Rejects when it does not give it in time, or goes before that,
 * as `prepared` does: nothing is ours then.
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
    let onFailure: (failure: Error) => void = reject;
    let failure: Error | undefined;
    const fail = (what: string): void => {
      failure ??= new Error(what);
      onFailure(failure);
    };
    const timer = setTimeout(() => fail("the predecessor did not hand over in time"), HANDOVER_DEADLINE_MS);
    process.once("disconnect", () => fail("the predecessor went"));
    const next = (said: HeirReply["kind"], awaited: Bequest["kind"]): Promise<void> =>
      new Promise((come, failed) => {
        onFailure = failed;
        onNext = (kind) => {
          if (kind === awaited) come();
        };
        if (failure === undefined) say({ kind: said });
        else failed(failure);
      });
    const serve = async (): Promise<void> => {
      clearTimeout(timer);
      if (failure !== undefined) throw failure;
      // Who goes now has let go of everything, too.
      await next("serving", "yours").catch(() => {});
    };
    process.on("message", (message: Bequest, handle: unknown) => {
      if (message.kind === "flow") {
        if (handle !== undefined) flows.push({ record: message.flow, handle });
      } else if (message.kind === "socket") {
        if (handle !== undefined) sockets.set(message.key, handle);
      } else if (message.kind === "table") {
        const { kind, ...estate } = message;
        const prepared = (): Promise<readonly GivenFlow[]> =>
          next("prepared", "yours-to-read").then(takeFlows);
        resolve({ ...estate, sockets, flows: takeFlows(), prepared, serve });
      }
      onNext(message.kind);
    });
    say({ kind: "ready" });
  });
}

function say(message: HeirReply): void {
  process.send?.(message);
}
