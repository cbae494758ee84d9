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
export async function receiveHandover(): Promise<Handover> {
  const predecessor = new PredecessorChannel();
  const { bytes } = await predecessor.exchange("ready", "snapshot");
  return {
    ...parseSnapshot(bytes),
    sockets: predecessor.sockets,
    flows: predecessor.takeFlows(),
    prepared: async () => {
      await predecessor.exchange("prepared", "receive");
      return predecessor.takeFlows();
    },
    serving: async () => {
      predecessor.endTimeout();
      // A predecessor that exits now has released everything as well.
      await predecessor.exchange("serving", "released").catch(() => {});
    },
  };
}

type MessageOfKind<Kind extends SourceMessage["kind"]> = Extract<SourceMessage, { readonly kind: Kind }>;

/** The IPC channel to the predecessor. Collects the handles that the predecessor sends. */
class PredecessorChannel {
  readonly sockets = new Map<string, unknown>();
  #flows: UdpFlowHandle[] = [];
  #failure: Error | undefined;
  /** Called with each message while `exchange` waits for a reply. */
  #onReply: (message: SourceMessage) => void = () => {};
  /** Called when the predecessor exits or does not finish in time. */
  #onFailure: (failure: Error) => void = () => {};
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setTimeout(
      () => this.#fail(`predecessor did not hand over within ${HANDOVER_TIMEOUT_MS / 1_000} s`),
      HANDOVER_TIMEOUT_MS,
    );
    process.once("disconnect", () => this.#fail("predecessor exited"));
    process.on("message", (message: SourceMessage, handle: unknown) => this.#receive(message, handle));
  }

  /** Sends a message and waits for the predecessor's next message of one kind. Rejects after a failure. */
  exchange<Kind extends SourceMessage["kind"]>(
    kind: SuccessorMessage["kind"],
    replyKind: Kind,
  ): Promise<MessageOfKind<Kind>> {
    return new Promise((resolve, reject) => {
      this.#onFailure = reject;
      this.#onReply = (message) => {
        if (message.kind === replyKind) resolve(message as MessageOfKind<Kind>);
      };
      if (this.#failure !== undefined) reject(this.#failure);
      else process.send?.({ kind } satisfies SuccessorMessage);
    });
  }

  /** Returns the flows received since the last call. */
  takeFlows(): readonly UdpFlowHandle[] {
    const flows = this.#flows;
    this.#flows = [];
    return flows;
  }

  /**
   * Ends the time limit of the handover.
   * @throws Error when the handover has failed already
   */
  endTimeout(): void {
    clearTimeout(this.#timer);
    if (this.#failure !== undefined) throw this.#failure;
  }

  #receive(message: SourceMessage, handle: unknown): void {
    switch (message.kind) {
      case "flow":
        if (handle !== undefined) this.#flows.push({ record: message.flow, handle });
        break;
      case "socket":
        if (handle !== undefined) this.sockets.set(message.key, handle);
        break;
      case "snapshot":
      case "receive":
      case "released":
        this.#onReply(message);
        break;
      default:
        assertNever(message);
    }
  }

  #fail(reason: string): void {
    this.#failure ??= new Error(reason);
    this.#onFailure(this.#failure);
  }
}

/** @throws Error when the snapshot is invalid */
function parseSnapshot(bytes: string): Snapshot {
  try {
    return decodeSnapshot(bytes);
  } catch (error) {
    throw new Error(`invalid handover snapshot: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}
