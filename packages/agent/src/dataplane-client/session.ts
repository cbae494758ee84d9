import { connect, type Socket } from "node:net";
import { BerthError } from "@berth/proto";
import { readJsonLines, writeJsonLine } from "../dataplane/control/json-lines.js";
import { type IngressReply, type IngressRequest, MAX_LINE_BYTES } from "../dataplane/control/wire.js";
import { parseReply } from "../dataplane/control/wire-codec.js";

/** The process says hello at once; if not, it is stopped or far too busy. */
const HELLO_DEADLINE_MS = 2_000;
/** A table of thousands of ports opens in well under a second. */
const REPLY_DEADLINE_MS = 10_000;

type Hello = Extract<IngressReply, { kind: "hello" }>;
type Unnumbered<Request> = Request extends unknown ? Omit<Request, "id" | "invalid"> : never;
export type SessionRequest = Unnumbered<IngressRequest>;

interface Waiting {
  resolve(reply: IngressReply): void;
  reject(error: Error): void;
}

/** One connection to the ingress process. Ends for good when the socket does. */
export class Session {
  readonly hello: Hello;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  private constructor(socket: Socket, hello: Hello) {
    this.#socket = socket;
    this.hello = hello;
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#failAll();
        resolve();
      });
    });
  }

  /** Connects and waits for the hello. Rejects with a system error, or BERTH_INGRESS_FAILED when none comes. */
  static async open(socketPath: string): Promise<Session> {
    const socket = connect(socketPath);
    let session: Session | undefined;
    try {
      return await new Promise<Session>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(silent("did not say hello", HELLO_DEADLINE_MS)),
          HELLO_DEADLINE_MS,
        );
        socket.on("error", reject);
        socket.once("close", () => {
          clearTimeout(timer);
          reject(lost());
        });
        readJsonLines(socket, {
          maxLineBytes: MAX_LINE_BYTES,
          onMessage: (message) => {
            const reply = parseReply(message);
            if (session !== undefined && reply !== undefined) session.#settle(reply);
            if (session !== undefined || reply?.kind !== "hello") return;
            clearTimeout(timer);
            session = new Session(socket, reply);
            resolve(session);
          },
        });
      });
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Rejects with BERTH_INGRESS_FAILED when the process refuses, is silent or goes away. */
  async request(request: SessionRequest): Promise<IngressReply> {
    this.#lastId += 1;
    const id = this.#lastId;
    let timer: NodeJS.Timeout | undefined;
    try {
      const reply = await new Promise<IngressReply>((resolve, reject) => {
        timer = setTimeout(() => {
          reject(silent("did not answer", REPLY_DEADLINE_MS));
          this.close();
        }, REPLY_DEADLINE_MS);
        if (this.#socket.destroyed) reject(lost());
        this.#waiting.set(id, { resolve, reject });
        writeJsonLine(this.#socket, { ...request, id });
      });
      if (reply.kind !== "refused") return reply;
      throw new BerthError({
        code: "BERTH_INGRESS_FAILED",
        message: `the ingress process refused: ${reply.message}`,
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #settle(reply: IngressReply): void {
    if (reply.kind !== "hello") this.#waiting.get(reply.id)?.resolve(reply);
  }

  #failAll(): void {
    for (const { reject } of this.#waiting.values()) reject(lost());
  }
}

function lost(): BerthError {
  return new BerthError({
    code: "BERTH_INGRESS_FAILED",
    message: "the ingress process went away; it is started again by itself",
  });
}

function silent(what: string, afterMs: number): BerthError {
  return new BerthError({
    code: "BERTH_INGRESS_FAILED",
    message: `the ingress process ${what} within ${afterMs / 1_000} s: it is stopped or this host is overloaded`,
  });
}
