import { BerthError, isBerthError } from "@berth/proto";
import type { Caller } from "@berth/proto/rpc";
import type { Actor } from "../simulator/actor.js";
import { Connection } from "./connection.js";
import { MessageQueue } from "./message-queue.js";
import type { Network } from "./network.js";

/** Maximum number of messages in flight before a sender waits for the reader, similar to gRPC's window. */
const WINDOW = 16;
/** Time until a lost SYN is sent again after the network works. */
const SYN_RETRY_MS = 300;

/** Handles one call in the server's process. */
export type Accept = (call: IncomingCall) => void;

export interface IncomingCall {
  readonly path: string;
  readonly requests: MessageQueue<Buffer>;
  readonly signal: AbortSignal;
  readonly peer: string;
  readonly forwarded: boolean;
  /** The caller; the original one of a forwarded call. */
  readonly caller: Caller;
  readonly respond: (bytes: Buffer) => Promise<void>;
  readonly end: (error: unknown) => void;
}

export interface Opening {
  readonly network: Network;
  readonly actor: Actor;
  readonly address: string;
  readonly path: string;
  readonly forwarded: boolean;
  readonly caller: Caller;
  readonly responses: MessageQueue<Buffer>;
  readonly fail: (error: Error) => void;
  readonly onMessage: (to: Actor, path: string, bytes: Buffer) => void;
}

export interface Request {
  readonly send: (bytes: Buffer) => Promise<void>;
  readonly end: () => void;
  readonly cancel: () => void;
}

/** Opens a connection to the process that listens at the address when the first segment arrives. */
export function openCall(opening: Opening): Request {
  const { network, actor, address, path, forwarded, caller, responses, fail, onMessage } = opening;
  const { scheduler } = network;
  const host = address.slice(0, address.lastIndexOf(":"));
  const early: (() => void)[] = [];
  let toServer = (run: () => void): void => void early.push(run);
  let requests: MessageQueue<Buffer> | undefined;
  const canceled = new AbortController();
  const establish = (): void => {
    if (!actor.isAlive || canceled.signal.aborted) return;
    if (!network.reaches(actor.host, host)) {
      network.onHeal(() => scheduler.after(SYN_RETRY_MS, undefined, establish));
      return;
    }
    const listener = network.listeners.get(address);
    if (listener === undefined) {
      scheduler.after(network.delayMs(host, actor.host), actor, () => {
        if (network.reaches(host, actor.host)) fail(unreachableError(address, "connection refused"));
      });
      return;
    }
    const server = listener.actor;
    const gone = new AbortController();
    const incoming = new MessageQueue<Buffer>();
    requests = incoming;
    const connection = new Connection(
      network,
      { actor, onBroken: (reason) => fail(unreachableError(address, reason)) },
      {
        actor: server,
        onBroken: () => {
          const reason = new BerthError({ code: "BERTH_CANCELLED", message: "the caller disconnected" });
          incoming.end(reason);
          gone.abort(reason);
        },
      },
    );
    const window = new Window();
    const call: IncomingCall = {
      path,
      requests: incoming,
      signal: gone.signal,
      peer: `${actor.host}:0`,
      forwarded,
      caller,
      respond: (bytes) => {
        connection.toClient.send(() => {
          onMessage(actor, path, bytes);
          responses.push(bytes);
          if (window.release()) scheduler.after(0, server, () => window.wake());
        });
        return window.take();
      },
      end: (error) => {
        connection.toClient.send(() => {
          connection.close();
          responses.end(error === undefined ? undefined : asReceived(error, address));
        });
      },
    };
    toServer = (run) => connection.toServer.send(run);
    scheduler.after(0, server, () => (listener.accept as Accept)(call));
    for (const run of early.splice(0)) toServer(run);
    canceled.signal.addEventListener("abort", () => {
      connection.toServer.send(() => {
        connection.close();
        const reason = new BerthError({ code: "BERTH_CANCELLED", message: "the caller disconnected" });
        incoming.end(reason);
        gone.abort(reason);
      });
    });
  };
  scheduler.after(network.delayMs(actor.host, host), undefined, establish);
  return {
    send: async (bytes) => {
      toServer(() => {
        const listener = network.listeners.get(address);
        if (listener !== undefined) onMessage(listener.actor, path, bytes);
        requests?.push(bytes);
      });
    },
    end: () => toServer(() => requests?.end()),
    cancel: () => canceled.abort(),
  };
}

/** Limits how far a sender may be ahead of its reader. */
class Window {
  #underWay = 0;
  #wake: () => void = () => {};

  async take(): Promise<void> {
    this.#underWay += 1;
    while (this.#underWay >= WINDOW) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Returns true when a waiting sender may continue. */
  release(): boolean {
    this.#underWay -= 1;
    return this.#underWay === WINDOW - 1;
  }

  wake(): void {
    this.#wake();
  }
}

/** Returns the error as the client receives it: a copy, or BERTH_INTERNAL for an unexpected error. */
function asReceived(error: unknown, address: string): Error {
  if (isBerthError(error)) {
    return new BerthError({ code: error.code, message: error.message, details: error.details });
  }
  return new BerthError({
    code: "BERTH_INTERNAL",
    message: `call to the berth server at ${address} failed: ${String(error)}`,
  });
}

export function unreachableError(address: string, why: string): BerthError {
  return new BerthError({
    code: "BERTH_SERVER_UNREACHABLE",
    message: `cannot connect to the berth server at ${address}: ${why}`,
  });
}
