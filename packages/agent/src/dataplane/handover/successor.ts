import { HANDOVER_DEADLINE_MS, type SourceMessage, type SuccessorMessage } from "./message.js";
import type { HandoverState, UdpFlowHandle } from "./state.js";

export interface Handover extends HandoverState {
  /**
   * Tells the predecessor that all of it is in place. Resolves when it reads no datagrams any more, with the flows that
   * have begun since it gave those of the estate.
   */
  prepared(): Promise<readonly UdpFlowHandle[]>;
  /** Tells that these are read here; resolves when the predecessor has let go of everything else, or is gone. */
  serve(): Promise<void>;
}

/**
 * Takes over what the process that started this one has. Rejects when it does not give it in time, or goes before that,
 * as `prepared` does: nothing is ours then.
 */
export function receiveHandover(): Promise<Handover> {
  const sockets = new Map<string, unknown>();
  let flows: UdpFlowHandle[] = [];
  const takeFlows = (): readonly UdpFlowHandle[] => {
    const taken = flows;
    flows = [];
    return taken;
  };
  return new Promise((resolve, reject) => {
    let onNext: (kind: SourceMessage["kind"]) => void = () => {};
    let onFailure: (failure: Error) => void = reject;
    let failure: Error | undefined;
    const fail = (what: string): void => {
      failure ??= new Error(what);
      onFailure(failure);
    };
    const timer = setTimeout(() => fail("the predecessor did not hand over in time"), HANDOVER_DEADLINE_MS);
    process.once("disconnect", () => fail("the predecessor went"));
    const next = (said: SuccessorMessage["kind"], awaited: SourceMessage["kind"]): Promise<void> =>
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
    process.on("message", (message: SourceMessage, handle: unknown) => {
      if (message.kind === "flow") {
        if (handle !== undefined) flows.push({ record: message.flow, handle });
      } else if (message.kind === "socket") {
        if (handle !== undefined) sockets.set(message.key, handle);
      } else if (message.kind === "table") {
        const { kind, ...estate } = message;
        const prepared = (): Promise<readonly UdpFlowHandle[]> =>
          next("prepared", "yours-to-read").then(takeFlows);
        resolve({ ...estate, sockets, flows: takeFlows(), prepared, serve });
      }
      onNext(message.kind);
    });
    say({ kind: "ready" });
  });
}

function say(message: SuccessorMessage): void {
  process.send?.(message);
}
