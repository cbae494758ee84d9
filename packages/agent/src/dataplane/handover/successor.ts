import { assertNever } from "@berth/proto";
import type { Logger } from "pino";
import { closeHandle } from "../transport/socket-handles.js";
import {
  decodeSnapshot,
  HANDOVER_TIMEOUT_MS,
  type Snapshot,
  type SourceMessage,
  type SuccessorMessage,
} from "./message.js";
import type { HandoverState, UdpFlowHandle, UdpFlowRecord } from "./state.js";

/** The state that a starting ingress process receives from its predecessor, and the steps that complete the handover. */
export interface Handover extends HandoverState {
  /**
   * Reports that all listeners are open. Resolves when the predecessor has stopped reading datagrams, with the flows
   * that started after the flows of the state.
   */
  reportPrepared(): Promise<readonly UdpFlowHandle[]>;
  /** Reports that this process reads datagrams. Resolves when the predecessor has released everything or has exited. */
  reportServing(): Promise<void>;
}

/** The IPC channel of a child process; in production, `process`. */
export interface IpcChannel {
  on(event: "message", listener: (message: unknown, handle: unknown) => void): unknown;
  once(event: "disconnect", listener: () => void): unknown;
  send?(message: unknown): unknown;
}

/**
 * Receives the state of the process that started this one. Rejects, as `reportPrepared` does, when the predecessor exits
 * or does not finish in time: the predecessor then still owns everything.
 */
export async function receiveHandover(
  log: Pick<Logger, "warn">,
  channel: IpcChannel = process,
): Promise<Handover> {
  const predecessor = new PredecessorChannel(log, channel);
  const { bytes } = await predecessor.exchange("ready", "snapshot");
  return {
    ...parseSnapshot(bytes),
    sockets: predecessor.sockets,
    flows: predecessor.takeFlows(),
    reportPrepared: async () => {
      await predecessor.exchange("prepared", "receive");
      return predecessor.takeFlows();
    },
    reportServing: async () => {
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
  readonly #log: Pick<Logger, "warn">;
  readonly #channel: IpcChannel;
  readonly #ignoredKinds = new Set<string>();
  #flows: UdpFlowHandle[] = [];
  #failure: Error | undefined;
  /** Called with each message while `exchange` waits for a reply. */
  #onReply: (message: SourceMessage) => void = () => {};
  /** Called when the predecessor exits or does not finish in time. */
  #onFailure: (failure: Error) => void = () => {};
  readonly #timer: NodeJS.Timeout;

  constructor(log: Pick<Logger, "warn">, channel: IpcChannel) {
    this.#log = log;
    this.#channel = channel;
    this.#timer = setTimeout(
      () => this.#fail(`predecessor did not hand over within ${HANDOVER_TIMEOUT_MS / 1_000} s`),
      HANDOVER_TIMEOUT_MS,
    );
    channel.once("disconnect", () => this.#fail("predecessor exited"));
    channel.on("message", (message, handle) => this.#receive(message, handle));
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
      else this.#channel.send?.({ kind } satisfies SuccessorMessage);
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
   *
   * @throws Error if the handover has failed already
   */
  endTimeout(): void {
    clearTimeout(this.#timer);
    if (this.#failure !== undefined) throw this.#failure;
  }

  #receive(message: unknown, handle: unknown): void {
    if (!isSourceMessage(message)) {
      // A predecessor of a newer release may send more than this release needs.
      this.#logIgnored(message);
      closeHandle(handle);
      return;
    }
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

  /** Logs each kind once: there may be a message for each of thousands of flows. */
  #logIgnored(message: unknown): void {
    const kind = String(Reflect.get(Object(message), "kind"));
    if (this.#ignoredKinds.has(kind)) return;
    this.#ignoredKinds.add(kind);
    this.#log.warn({ kind }, "unknown handover message ignored");
  }

  #fail(reason: string): void {
    this.#failure ??= new Error(reason);
    this.#onFailure(this.#failure);
  }
}

/** Checks the fields of a message, by its kind. */
const FIELD_CHECKS: Readonly<Record<SourceMessage["kind"], (message: object) => boolean>> = {
  flow: (message) => "flow" in message && isFlowRecord(message.flow),
  socket: (message) => "key" in message && typeof message.key === "string",
  snapshot: (message) => "bytes" in message && typeof message.bytes === "string",
  receive: () => true,
  released: () => true,
};

function isFlowRecord(value: unknown): value is UdpFlowRecord {
  if (typeof value !== "object" || value === null) return false;
  const { listener, client, endpoint, isAnswered, idleMs } = value as Readonly<Record<string, unknown>>;
  return (
    [listener, client, endpoint].every((text) => typeof text === "string") &&
    typeof isAnswered === "boolean" &&
    Number.isFinite(idleMs)
  );
}

/** Returns whether the message is of a known kind and has all fields of this kind. */
function isSourceMessage(message: unknown): message is SourceMessage {
  if (typeof message !== "object" || message === null || !("kind" in message)) return false;
  const { kind } = message;
  return typeof kind === "string" && Object.hasOwn(FIELD_CHECKS, kind)
    ? FIELD_CHECKS[kind as SourceMessage["kind"]](message)
    : false;
}

/** @throws Error if the snapshot is invalid */
function parseSnapshot(bytes: string): Snapshot {
  try {
    return decodeSnapshot(bytes);
  } catch (error) {
    throw new Error(`invalid handover snapshot: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}
