import { EventEmitter } from "node:events";
import { HandoverSnapshot, IngressReply, IngressRequest } from "@berth/proto";
import { readFrames } from "../../../packages/agent/src/dataplane/control/protocol.js";
import { decodeSnapshot, encodeSnapshot } from "../../../packages/agent/src/dataplane/handover/message.js";
import { receiveHandover } from "../../../packages/agent/src/dataplane/handover/successor.js";
import { parseDnsConfig } from "../../../packages/agent/src/dataplane/messages/dns-messages.js";
import {
  formatListener,
  parseListeners,
} from "../../../packages/agent/src/dataplane/messages/listener-messages.js";
import { applyChange } from "../../../packages/agent/src/dataplane/table/table-changes.js";
import { check, checkEqual, unlessRejected } from "../engine/expect.js";
import { chunksOf, FakeSocket } from "../engine/stream-input.js";
import type { Target } from "../engine/target.js";
import { DNS_CONFIG, LISTENER, SNAPSHOT } from "./samples.js";

const REQUESTS: readonly NonNullable<IngressRequest["request"]>[] = [
  { $case: "applyListeners", value: { version: 1, listeners: [LISTENER] } },
  { $case: "changeListeners", value: { base: 1, version: 2, set: [LISTENER], removedKeys: ["udp/:53"] } },
  { $case: "suspectNodes", value: { nodeIds: ["h1"] } },
  { $case: "applyDns", value: DNS_CONFIG },
];
const STATS = IngressReply.fromPartial({
  reply: {
    $case: "stats",
    value: {
      listeners: [{ protocol: "tcp", port: 80, endpoints: [{ id: "t1" }] }],
      status: { dnsProblems: ["port 53 is in use"] },
    },
  },
});
const SNAPSHOT_BYTES = Buffer.from(HandoverSnapshot.encode(SNAPSHOT).finish());

export const INGRESS_TARGETS: readonly Target[] = [
  {
    name: "ingress-frames",
    seeds: [
      Buffer.concat([frame(1, Buffer.from("abc")), frame(2, Buffer.alloc(0)), frame(3, SNAPSHOT_BYTES)]),
    ],
    maxBytes: 64 * 1024,
    run: (bytes) => checkEqual(framesIn(chunksOf(bytes)), framesIn([bytes]), "chunks do not matter"),
  },
  {
    name: "ingress-request",
    seeds: REQUESTS.map((request) => IngressRequest.encode({ request }).finish()),
    run: (bytes) => {
      const request = unlessRejected(() => IngressRequest.decode(bytes), isError)?.request;
      switch (request?.$case) {
        case "applyListeners":
          checkListeners(request.value.listeners);
          break;
        case "changeListeners": {
          const { base, version, set, removedKeys: removed } = request.value;
          const change = { base, version, set: parseListeners(set).listeners, removed };
          applyChange({ version: base, listeners: [] }, change);
          break;
        }
        case "applyDns":
          unlessRejected(() => parseDnsConfig(request.value), isError);
          break;
        default:
      }
    },
  },
  {
    name: "ingress-reply",
    seeds: [IngressReply.encode(STATS).finish()],
    run: (bytes) => {
      const reply = unlessRejected(() => IngressReply.decode(bytes), isError);
      if (reply === undefined) return;
      checkEqual(
        IngressReply.decode(IngressReply.encode(reply).finish()),
        reply,
        "a reply can be sent again",
      );
    },
  },
  {
    name: "handover-snapshot",
    seeds: [SNAPSHOT_BYTES],
    run: (bytes) => {
      const snapshot = unlessRejected(() => decodeSnapshot(bytes.toString("base64")), isError);
      if (snapshot === undefined) return;
      checkEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot, "a snapshot survives the next handover");
    },
  },
  {
    name: "handover-messages",
    format: "json",
    seeds: [
      JSON.stringify([
        { kind: "socket", key: "tcp/:80" },
        {
          kind: "flow",
          flow: {
            listener: "udp/:53",
            client: "a 1",
            endpoint: "t1 10.0.0.2:53",
            isAnswered: true,
            idleMs: 5,
          },
        },
        { kind: "snapshot", bytes: SNAPSHOT_BYTES.toString("base64") },
        { kind: "receive" },
        { kind: "released" },
      ]),
    ],
    run: async (bytes) => {
      const messages = unlessRejected((): unknown => JSON.parse(bytes.toString()), isError);
      if (!Array.isArray(messages)) return;
      const handover = await receive(messages);
      for (const { record } of handover?.flows ?? []) {
        check(
          typeof record.listener === "string" && typeof record.endpoint === "string",
          "a flow has its keys",
        );
        check(typeof record.client === "string" && Number.isFinite(record.idleMs), "a flow has its client");
      }
      for (const key of handover?.sockets.keys() ?? []) check(typeof key === "string", "a socket has a key");
    },
  },
];

const isError = (error: unknown): boolean => error instanceof Error;

function frame(id: number, body: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(body.length, 0);
  header.writeUInt32BE(id, 4);
  return Buffer.concat([header, body]);
}

function framesIn(chunks: readonly Buffer[]): {
  readonly frames: readonly (readonly [number, string])[];
  readonly closed: boolean;
} {
  const socket = new FakeSocket();
  const frames: (readonly [number, string])[] = [];
  readFrames(socket.asSocket, (id, body) => frames.push([id, body.toString("hex")]));
  for (const chunk of chunks) if (!socket.destroyed) socket.emit("data", chunk);
  return { frames, closed: socket.destroyed };
}

function checkListeners(messages: Parameters<typeof parseListeners>[0]): void {
  const { listeners, invalid } = parseListeners(messages);
  check(listeners.length + invalid.length === messages.length, "each listener is valid or has an error");
  const again = parseListeners(listeners.map(formatListener));
  checkEqual(again, { listeners, invalid: [] }, "listeners survive a handover");
}

/** Sends the messages of a predecessor, each with a handle. Returns undefined if the handover fails. */
async function receive(
  messages: readonly unknown[],
): Promise<Awaited<ReturnType<typeof receiveHandover>> | undefined> {
  const channel = Object.assign(new EventEmitter(), { send: () => true });
  const receiving = receiveHandover({ warn: () => {} }, channel);
  for (const message of messages) channel.emit("message", message, { close: () => {} });
  channel.emit("disconnect");
  try {
    const handover = await receiving;
    await handover.reportServing().catch(() => {});
    return handover;
  } catch {
    return undefined;
  }
}
