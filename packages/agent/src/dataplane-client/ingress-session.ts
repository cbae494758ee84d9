import { connect, type Socket } from "node:net";
import {
  BerthError,
  type IngressHello,
  IngressReply,
  IngressRequest,
  isBerthError,
  type WaitingClients,
} from "@berth/proto";
import { readFrames, writeFrame } from "../dataplane/control/protocol.js";

/** Timeout for the first message. The process sends it at once unless it is stopped or overloaded. */
const HELLO_TIMEOUT_MS = 2_000;
/** Timeout of a request. A table of thousands of ports is applied in well under a second. */
const REPLY_TIMEOUT_MS = 10_000;

const REJECTION_DETAILS = { reason: "rejected" };

export type Request = NonNullable<IngressRequest["request"]>;
export type Reply = NonNullable<IngressReply["reply"]>;
type ReplyValue<Case extends Reply["$case"]> = Extract<Reply, { readonly $case: Case }>["value"];

interface PendingReply {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/** One connection to the control socket of the ingress process. It is not reopened after it is closed. */
export class IngressSession {
  readonly hello: IngressHello;
  /** Resolves when the connection is closed by either side. */
  readonly closed: Promise<void>;
  /** Called when clients begin or cease to wait for a task, once that was requested. */
  onWaitingClients: (report: WaitingClients) => void = () => {};
  readonly #socket: Socket;
  readonly #pending = new Map<number, PendingReply>();
  #lastId = 0;

  private constructor(socket: Socket, hello: IngressHello) {
    this.#socket = socket;
    this.hello = hello;
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        for (const { reject } of this.#pending.values()) reject(connectionLostError());
        resolve();
      });
    });
  }

  /**
   * Connects and waits for `hello`.
   *
   * @throws system error, or BERTH_INGRESS_FAILED when the process does not respond
   */
  static async open(socketPath: string): Promise<IngressSession> {
    const socket = connect(socketPath);
    let session: IngressSession | undefined;
    try {
      return await new Promise<IngressSession>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(timeoutError("did not respond", HELLO_TIMEOUT_MS)),
          HELLO_TIMEOUT_MS,
        );
        socket.on("error", reject);
        socket.once("close", () => {
          clearTimeout(timer);
          reject(connectionLostError());
        });
        readFrames(socket, (id, body) => {
          const reply = decodeReply(body);
          if (reply === undefined) socket.destroy();
          else if (session !== undefined) session.#onReply(id, reply);
          else if (reply.$case === "hello") {
            clearTimeout(timer);
            session = new IngressSession(socket, reply.value);
            resolve(session);
          }
        });
      });
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /**
   * Sends a request and returns the value of its reply.
   *
   * @throws BerthError BERTH_INGRESS_FAILED if the process rejects the request, does not respond, or exits
   */
  async request<Case extends Reply["$case"]>(request: Request, expected: Case): Promise<ReplyValue<Case>> {
    if (this.#socket.destroyed) throw connectionLostError();
    this.#lastId += 1;
    const id = this.#lastId;
    let timer: NodeJS.Timeout | undefined;
    try {
      const reply = await new Promise<Reply>((resolve, reject) => {
        timer = setTimeout(() => {
          reject(timeoutError(`did not respond to ${request.$case}`, REPLY_TIMEOUT_MS));
          this.close();
        }, REPLY_TIMEOUT_MS);
        this.#pending.set(id, { resolve, reject });
        writeFrame(this.#socket, id, IngressRequest.encode({ request }).finish());
      });
      if (isCase(reply, expected)) return reply.value as ReplyValue<Case>;
      if (reply.$case === "error") {
        throw ingressError(
          `ingress process rejected ${request.$case}: ${reply.value.message}`,
          REJECTION_DETAILS,
        );
      }
      throw ingressError(`ingress process answered ${request.$case} with ${reply.$case}`);
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #onReply(id: number, reply: Reply): void {
    if (id === 0 && reply.$case === "waitingClients") this.onWaitingClients(reply.value);
    else this.#pending.get(id)?.resolve(reply);
  }
}

/** Returns whether the process replied to the request with an error. False if the reply was lost. */
export function isRejection(error: unknown): boolean {
  return isBerthError(error, "BERTH_INGRESS_FAILED") && error.details.reason === REJECTION_DETAILS.reason;
}

function decodeReply(body: Buffer): Reply | undefined {
  try {
    return IngressReply.decode(body).reply;
  } catch {
    return undefined;
  }
}

function isCase<Case extends Reply["$case"]>(
  reply: Reply,
  expected: Case,
): reply is Extract<Reply, { readonly $case: Case }> {
  return reply.$case === expected;
}

function connectionLostError(): BerthError {
  return ingressError("lost connection to the ingress process; the agent restarts it");
}

function timeoutError(problem: string, afterMs: number): BerthError {
  return ingressError(
    `ingress process ${problem} within ${afterMs / 1_000} s: it is suspended, or this host is overloaded`,
  );
}

function ingressError(message: string, details = {}): BerthError {
  return new BerthError({ code: "BERTH_INGRESS_FAILED", message, details });
}
