import { createSocket, type Socket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { answers, isTruncated, withId } from "./message.js";
import { UpstreamHealth } from "./server-memory.js";
import { readFrames, writeFrame } from "./tcp-frames.js";

/** Docker's resolver waits 4 s for us: two attempts fit in, and there is time to say that nobody answers. */
const TRY_MS = 1_500;
const MAX_TRIES = 2;
/** Questions that wait for others at a time; more get no answer but "failed" at once. */
const MAX_WAITING = 1_000;
const MAX_ID = 65_536;

export interface ForwardOptions {
  /** From 0 up to 1: ids that nobody outside can guess. */
  readonly random: () => number;
  readonly port: number;
  /** Milliseconds, from any beginning. */
  readonly now: () => number;
}

/** Asks other servers what we do not know. */
export class Forwarder {
  readonly #options: ForwardOptions;
  readonly #memory: UpstreamHealth;
  #waiting = 0;

  constructor(options: ForwardOptions) {
    this.#options = options;
    this.#memory = new UpstreamHealth(options.now);
  }

  /**
   * The first answer of the servers, asked one after the other, over UDP as long as it fits. Undefined: none answered
   * in time, all have been silent of late, or too much is asked at once. Never rejects.
   */
  async ask(question: Buffer, servers: readonly string[], viaTcp: boolean): Promise<Buffer | undefined> {
    if (this.#waiting >= MAX_WAITING) return undefined;
    this.#waiting += 1;
    try {
      const live = servers.filter((server) => !this.#memory.isDown(server));
      // A datagram may get lost: where there is one server, it is asked twice.
      for (const server of [...live, ...live].slice(0, MAX_TRIES)) {
        const answer = await this.#askOne(question, server, viaTcp);
        if (answer !== undefined) return withId(answer, question.readUInt16BE(0));
      }
      return undefined;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #askOne(question: Buffer, server: string, viaTcp: boolean): Promise<Buffer | undefined> {
    const { random, port } = this.#options;
    const id = Math.floor(random() * MAX_ID);
    const asked = withId(question, id);
    // A truncated answer is handed on as it is: who asked over UDP comes back over TCP.
    const reply = await (viaTcp ? askOverTcp : askOverUdp)(asked, { id, server, port });
    if (reply === "silence") this.#memory.wasSilent(server);
    else this.#memory.answered(server);
    return reply instanceof Buffer ? reply : undefined;
  }
}

/** Who refuses is there, and has said so at once. */
type Reply = Buffer | "refusal" | "silence";

/** A host that is found nowhere is reported after seconds, and may be between two attempts. */
function toReply(error: Error): Reply {
  return "code" in error && error.code === "ECONNREFUSED" ? "refusal" : "silence";
}

interface Asked {
  readonly id: number;
  readonly server: string;
  readonly port: number;
}

/** A socket of its own for each question: its port is as random as its id, so that an answer is hard to forge. */
function askOverUdp(question: Buffer, { id, server, port }: Asked): Promise<Reply> {
  return new Promise((resolve) => {
    const socket: Socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
    const finish = (answer: Reply): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => finish("silence"), TRY_MS);
    socket.once("error", (error) => finish(toReply(error)));
    socket.on("message", (bytes) => {
      if (answers(bytes, id)) finish(bytes);
    });
    // Connected, so that the kernel takes answers of this server alone, and tells when nobody listens there.
    socket.connect(port, server, (error?: Error) => {
      // The callback has the error then, and no event does.
      if (error) finish(toReply(error));
      else socket.send(question);
    });
  });
}

function askOverTcp(question: Buffer, { id, server, port }: Asked): Promise<Reply> {
  return new Promise((resolve) => {
    const socket = connect({ host: server, port });
    const finish = (answer: Reply): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => finish("silence"), TRY_MS);
    socket.once("error", (error) => finish(toReply(error)));
    socket.once("close", () => finish("refusal"));
    readFrames(socket, (bytes) => {
      if (answers(bytes, id) && !isTruncated(bytes)) finish(bytes);
    });
    writeFrame(socket, question);
  });
}
