import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../harness/eventually.js";
import type { Cleanup } from "./ingress-harness.js";

/** Longest wait for the last answers. A busy machine delays them by seconds, and a lost one never arrives. */
const LATE_MS = 15_000;

export async function boundSocket(cleanup: Cleanup, address = "127.0.0.1", port = 0): Promise<Socket> {
  const socket = createSocket("udp4");
  cleanup.add(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  socket.bind(port, address);
  await once(socket, "listening");
  return socket;
}

export interface Load {
  /** Stops sending after `count` requests. Resolves with the answer to each one, or undefined for a lost one. */
  stop(count?: number): Promise<readonly (string | undefined)[]>;
}

export interface LoadOptions {
  readonly to: { readonly address: string; readonly port: number };
  readonly everyMs: number;
  /** "once" uses a new socket for each request. */
  readonly socket: Socket | "once";
  /** `read` recovers the number of the request from its answer. */
  ask(number: number): string | Buffer;
  read(answer: Buffer): { readonly number: number; readonly text: string };
}

/** For echo servers that answer "NUMBER TEXT". */
export const NUMBERED = {
  ask: String,
  read: (bytes: Buffer) => {
    const [number, text = ""] = String(bytes).split(" ");
    return { number: Number(number), text };
  },
};

/** Sends UDP requests at a fixed interval until stopped, and records the answers. */
export function startUdpRequests(cleanup: Cleanup, { to, everyMs, socket, ask, read }: LoadOptions): Load {
  const answers: (string | undefined)[] = [];
  const onAnswer = (bytes: Buffer): void => {
    const { number, text } = read(bytes);
    answers[number] = text;
  };
  const send = (from: Socket): void => {
    const number = answers.push(undefined) - 1;
    from.send(ask(number), to.port, to.address);
  };
  const single: Socket[] = [];
  if (socket !== "once") socket.on("message", onAnswer);
  const timer = setInterval(() => {
    if (socket !== "once") return send(socket);
    const own = createSocket("udp4").on("message", onAnswer);
    single.push(own);
    send(own);
  }, everyMs);
  cleanup.add(() => clearInterval(timer));
  return {
    stop: async (count = 0) => {
      await eventually(`${count} requests`, () => answers.length >= count);
      clearInterval(timer);
      for (const endMs = performance.now() + LATE_MS; performance.now() < endMs; await sleep(20)) {
        if (!answers.includes(undefined)) break;
      }
      for (const each of single) each.close();
      return answers;
    },
  };
}
