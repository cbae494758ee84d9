import { assertNever } from "@berth/proto";
import {
  decodeSnapshot,
  HANDOVER_TIMEOUT_MS,
  type Snapshot,
  type SourceMessage,
  type SuccessorMessage,
} from "./message.js";
import type { HandoverState, UdpFlowHandle } from "./state.js";

/** The state of the predecessor, and the steps that complete the handover. */
export interface Handover extends HandoverState {
  /**
   * Reports that all listeners are open. Resolves when the predecessor has stopped reading datagrams, with the flows
   * that started after those of the state.
   */
  prepared(): Promise<readonly UdpFlowHandle[]>;
  /** Reports that this process reads datagrams. Resolves when the predecessor has released everything or has exited. */
  serving(): Promise<void>;
}

/**
 * Receives the state of the process that started this one. Rejects, as `prepared` does, when the predecessor exits or
 * does not finish in time: the predecessor then still owns everything.
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
    let onMessage: (kind: SourceMessage["kind"]) => void = () => {};
    let onFailure: (failure: Error) => void = reject;
    let failure: Error | undefined;
    const fail = (message: string): void => {
      failure ??= new Error(message);
      onFailure(failure);
    };
    const timer = setTimeout(
      () => fail(`predecessor did not hand over within ${HANDOVER_TIMEOUT_MS / 1_000} s`),
      HANDOVER_TIMEOUT_MS,
    );
    process.once("disconnect", () => fail("predecessor exited"));
    /** Sends a message and waits for the predecessor's next message of one kind. */
    const exchange = (message: SuccessorMessage["kind"], reply: SourceMessage["kind"]): Promise<void> =>
      new Promise((resolveReply, rejectReply) => {
        onFailure = rejectReply;
        onMessage = (kind) => {
          if (kind === reply) resolveReply();
        };
        if (failure === undefined) send({ kind: message });
        else rejectReply(failure);
      });
    const prepared = (): Promise<readonly UdpFlowHandle[]> => exchange("prepared", "receive").then(takeFlows);
    const serving = async (): Promise<void> => {
      clearTimeout(timer);
      if (failure !== undefined) throw failure;
      // A predecessor that exits now has released everything as well.
      await exchange("serving", "released").catch(() => {});
    };
    const onSnapshot = (bytes: string): void => {
      let snapshot: Snapshot;
      try {
        snapshot = decodeSnapshot(bytes);
      } catch (error) {
        fail(`invalid handover snapshot: ${error instanceof Error ? error.message : error}`);
        return;
      }
      resolve({ ...snapshot, sockets, flows: takeFlows(), prepared, serving });
    };
    process.on("message", (message: SourceMessage, handle: unknown) => {
      switch (message.kind) {
        case "flow":
          if (handle !== undefined) flows.push({ record: message.flow, handle });
          break;
        case "socket":
          if (handle !== undefined) sockets.set(message.key, handle);
          break;
        case "snapshot":
          onSnapshot(message.bytes);
          break;
        case "receive":
        case "released":
          break;
        default:
          assertNever(message);
      }
      onMessage(message.kind);
    });
    send({ kind: "ready" });
  });
}

function send(message: SuccessorMessage): void {
  process.send?.(message);
}
