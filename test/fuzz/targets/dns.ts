import { DnsConfig } from "@berth/proto";
import { DnsIndex } from "../../../packages/agent/src/dataplane/dns/dns-index.js";
import { parseResolvConf } from "../../../packages/agent/src/dataplane/dns/host-resolvers.js";
import { lookup } from "../../../packages/agent/src/dataplane/dns/lookup.js";
import {
  failureTo,
  isResponseTo,
  isTruncatedReply,
  parseRequest,
  readMessages,
  replyTo,
  withId,
} from "../../../packages/agent/src/dataplane/dns/message.js";
import {
  formatDnsConfig,
  parseDnsConfig,
} from "../../../packages/agent/src/dataplane/messages/dns-messages.js";
import { check, checkEqual, unlessRejected } from "../engine/expect.js";
import { chunksOf, FakeSocket } from "../engine/stream-input.js";
import type { Target } from "../engine/target.js";
import { DNS_CONFIG } from "./samples.js";

const HEADER_BYTES = 12;
const MAX_QUERY_BYTES = 4_096;
const INDEX = new DnsIndex(parseDnsConfig(DNS_CONFIG));

/** Queries in the wire format: "api" A with recursion, ". NS", "2.0.64.10.in-addr.arpa" PTR with EDNS. */
const QUERIES = [
  "123401000001000000000000036170690000010001",
  "000101000001000000000000000002 0001",
  "abcd0100000100000000000101320130023634023130 07696e2d61646472046172706100000c00010000291000000000000000",
  "0002010000010000000000000574 61736b73036170690473686f7008696e7465726e616c0000ff0001",
].map((hex) => Buffer.from(hex.replaceAll(" ", ""), "hex"));

export const DNS_TARGETS: readonly Target[] = [
  {
    name: "dns-query",
    seeds: QUERIES,
    tokens: ["\xc0\x0c", "\x00\x29", "\x00\x1c", "\x03api", "\x08internal"],
    maxBytes: MAX_QUERY_BYTES,
    run: (bytes) => {
      const parsed = parseRequest(bytes);
      if (parsed.kind === "ignore") return;
      if (parsed.kind === "reject") {
        check(parsed.reply.length === HEADER_BYTES, "a rejection is a header");
        check(isResponseTo(parsed.reply, bytes.readUInt16BE(0)), "a rejection has the ID of the query");
        return;
      }
      const { request } = parsed;
      const { type, name } = request.question;
      const answer = lookup(
        INDEX,
        { type, name, from: "10.64.0.9", gateway: "10.64.0.1" },
        { random: () => 0.5, isVipActive: () => true },
      );
      const replies = [failureTo(request)];
      if (answer.kind !== "forward") {
        replies.push(replyTo(request, answer, { isOverTcp: false }));
        check((replies[1]?.length ?? 0) <= request.maxUdpBytes, "a UDP reply fits");
        replies.push(replyTo(request, answer, { isOverTcp: true }));
      }
      for (const reply of replies) check(isResponseTo(reply, request.id), "a reply has the ID of the query");
    },
  },
  {
    name: "dns-stream",
    seeds: [Buffer.concat(QUERIES.flatMap((query) => [Buffer.from([0, query.length]), query]))],
    maxBytes: 64 * 1024,
    run: (bytes) => checkEqual(messagesIn(chunksOf(bytes)), messagesIn([bytes]), "chunks do not matter"),
  },
  {
    name: "dns-reply",
    seeds: QUERIES.map((query) => {
      const reply = Buffer.from(query);
      reply.writeUInt16BE(0x8180, 2);
      return reply;
    }),
    run: (bytes) => {
      if (bytes.length < 2 || !isResponseTo(bytes, bytes.readUInt16BE(0))) return;
      isTruncatedReply(bytes);
      check(isResponseTo(withId(bytes, 7), 7), "the ID of a reply can be changed");
    },
  },
  {
    name: "dns-config",
    seeds: [DnsConfig.encode(DNS_CONFIG).finish()],
    run: (bytes) => {
      const message = unlessRejected(() => DnsConfig.decode(bytes), isError);
      const table = message && unlessRejected(() => parseDnsConfig(message), isError);
      if (table === undefined) return;
      checkEqual(parseDnsConfig(formatDnsConfig(table)), table, "a table survives a handover");
      const index = new DnsIndex(table);
      for (const { address } of table.clients) {
        const query = { type: "A", name: "api", from: address, gateway: "10.64.0.1" };
        lookup(index, query, { random: () => 0, isVipActive: () => false });
      }
    },
  },
  {
    name: "resolv-conf",
    seeds: ["nameserver 10.0.0.2\nsearch example.com\n# comment\nnameserver fe80::1%eth0\noptions ndots:2\n"],
    run: (bytes) => {
      for (const server of parseResolvConf(bytes.toString())) check(server !== "", "a server is an address");
    },
  },
];

/** The decoders of protobuf and the validation of the ingress process report invalid messages as plain errors. */
const isError = (error: unknown): boolean => error instanceof Error;

/** Returns the messages that the parser finds, and whether it closed the connection. */
function messagesIn(chunks: readonly Buffer[]): {
  readonly messages: readonly string[];
  readonly closed: boolean;
} {
  const socket = new FakeSocket();
  const messages: string[] = [];
  readMessages(socket.asSocket, MAX_QUERY_BYTES, (message) => messages.push(message.toString("hex")));
  for (const chunk of chunks) if (!socket.destroyed) socket.emit("data", chunk);
  return { messages, closed: socket.destroyed };
}
