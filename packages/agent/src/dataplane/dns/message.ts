// The DNS wire format: decodes queries and encodes replies. No other file uses dns-packet.
import type { Socket } from "node:net";
import { assertNever } from "@berth/proto";
import {
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type Packet,
  type Question,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  type Answer as ResourceRecord,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import type { Answer } from "./lookup.js";

/** Size of a UDP answer that every resolver accepts. A query with EDNS announces a larger one (RFC 6891). */
const PLAIN_UDP_BYTES = 512;
/** Maximum size of a UDP answer. Larger answers would be fragmented on many networks (DNS Flag Day 2020). */
const MAX_UDP_BYTES = 1_232;
/** Maximum size of a message over TCP, whose length field has 16 bits. */
export const MAX_MESSAGE_BYTES = 65_535;
const HEADER_BYTES = 12;
/** Size of the length field before each message over TCP (RFC 1035 section 4.2.2). */
const LENGTH_BYTES = 2;
const RESPONSE_FLAG = 0x80_00;
const OPCODE_MASK = 0x78_00;

/** Response codes, RFC 1035 section 4.1.1. */
const RCODE = { noError: 0, formatError: 1, serverFailure: 2, nameError: 3, notImplemented: 4 } as const;
type Rcode = (typeof RCODE)[keyof typeof RCODE];

const EDNS_RECORD: ResourceRecord = {
  type: "OPT",
  name: ".",
  udpPayloadSize: MAX_UDP_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

/** A valid query. */
export interface Request {
  readonly id: number;
  readonly flags: number;
  readonly question: Question;
  /** The largest answer that the resolver accepts over UDP. */
  readonly maxUdpBytes: number;
  readonly hasEdns: boolean;
}

export type ParsedRequest =
  | { readonly kind: "request"; readonly request: Request }
  /** An invalid query, and the error to send back. */
  | { readonly kind: "reject"; readonly reply: Buffer }
  /** Not a query: no answer is due. */
  | { readonly kind: "ignore" };

/** An answer from the DNS table, in contrast to one of another server. */
export type LocalAnswer = Exclude<Answer, { kind: "forward" }>;

/** Parses a message from a resolver. */
export function parseRequest(bytes: Buffer): ParsedRequest {
  if (bytes.length < HEADER_BYTES || isResponse(bytes)) return { kind: "ignore" };
  try {
    const packet: Packet = decode(bytes);
    const [question, ...others] = packet.questions ?? [];
    if (question === undefined || others.length > 0) return reject(bytes, RCODE.formatError);
    if ((flagsOf(bytes) & OPCODE_MASK) !== 0) return reject(bytes, RCODE.notImplemented);
    const edns = packet.additionals?.find((record) => record.type === "OPT");
    const announced = edns?.type === "OPT" ? edns.udpPayloadSize : PLAIN_UDP_BYTES;
    return {
      kind: "request",
      request: {
        id: packet.id ?? 0,
        flags: packet.flags ?? 0,
        question,
        maxUdpBytes: Math.min(MAX_UDP_BYTES, Math.max(PLAIN_UDP_BYTES, announced)),
        hasEdns: edns !== undefined,
      },
    };
  } catch {
    return reject(bytes, RCODE.formatError);
  }
}

/**
 * Encodes the reply to a request. Negative replies have no SOA record, so resolvers do not cache them (RFC 2308 section
 * 5). A reply that is too long for UDP is marked as truncated and contains as many records as fit: musl before 1.2.4
 * does not retry over TCP and uses these.
 */
export function replyTo(
  request: Request,
  answer: LocalAnswer,
  { isOverTcp }: { readonly isOverTcp: boolean },
): Buffer {
  const rcode = answer.kind === "unknown" ? RCODE.nameError : RCODE.noError;
  const records = recordsOf(request.question.name, answer);
  const fullReply = encodeReply(request, { records, rcode, isTruncated: false });
  if (isOverTcp || fullReply.length <= request.maxUdpBytes) return fullReply;
  return encodeTruncated(request, records, rcode);
}

/** Encodes the reply "server failure". */
export function failureTo(request: Request): Buffer {
  return encodeReply(request, { records: [], rcode: RCODE.serverFailure, isTruncated: false });
}

/** Returns a query for the name servers of the root zone, which every resolver knows. */
export function createRootQuery(id: number): Buffer {
  return encode({ type: "query", id, flags: RECURSION_DESIRED, questions: [{ type: "NS", name: "." }] });
}

/** Returns whether a message is a response to the query with this ID. */
export function isResponseTo(bytes: Buffer, id: number): boolean {
  return bytes.length >= HEADER_BYTES && isResponse(bytes) && bytes.readUInt16BE(0) === id;
}

export function isTruncatedReply(bytes: Buffer): boolean {
  return (flagsOf(bytes) & TRUNCATED_RESPONSE) !== 0;
}

/** Returns a copy of the message with another ID. */
export function withId(bytes: Buffer, id: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(id, 0);
  return copy;
}

function recordsOf(name: string, answer: LocalAnswer): ResourceRecord[] {
  switch (answer.kind) {
    case "addresses":
      return answer.addresses.map((data) => ({ type: "A", class: "IN", name, ttl: answer.ttlS, data }));
    case "name":
      return [{ type: "PTR", class: "IN", name, ttl: answer.ttlS, data: answer.name }];
    case "empty":
    case "unknown":
      return [];
    default:
      return assertNever(answer);
  }
}

/**
 * Encodes as many records as fit, by bisection: records differ in length, and names are compressed, so the size of a
 * reply is only known after it has been encoded.
 */
function encodeTruncated(request: Request, records: readonly ResourceRecord[], rcode: Rcode): Buffer {
  const encodeFirst = (count: number): Buffer =>
    encodeReply(request, { records: records.slice(0, count), rcode, isTruncated: true });
  let fitting = encodeFirst(0);
  let [low, high] = [0, records.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const encoded = encodeFirst(middle);
    if (encoded.length <= request.maxUdpBytes) [low, fitting] = [middle, encoded];
    else high = middle - 1;
  }
  return fitting;
}

interface ReplyContent {
  readonly records: readonly ResourceRecord[];
  readonly rcode: Rcode;
  readonly isTruncated: boolean;
}

/** Replies are always authoritative: otherwise some versions of Docker ask the next server. */
function encodeReply(request: Request, { records, rcode, isTruncated }: ReplyContent): Buffer {
  return encode({
    type: "response",
    id: request.id,
    flags:
      AUTHORITATIVE_ANSWER |
      RECURSION_AVAILABLE |
      (request.flags & RECURSION_DESIRED) |
      (isTruncated ? TRUNCATED_RESPONSE : 0) |
      rcode,
    questions: [request.question],
    answers: [...records],
    additionals: request.hasEdns ? [EDNS_RECORD] : [],
  });
}

/** Encodes an error without decoding the query, which may be malformed. */
function reject(bytes: Buffer, rcode: Rcode): ParsedRequest {
  const reply = Buffer.alloc(HEADER_BYTES);
  bytes.copy(reply, 0, 0, 2);
  reply.writeUInt16BE(RESPONSE_FLAG | (flagsOf(bytes) & (OPCODE_MASK | RECURSION_DESIRED)) | rcode, 2);
  return { kind: "reject", reply };
}

const flagsOf = (bytes: Buffer): number => bytes.readUInt16BE(2);
const isResponse = (bytes: Buffer): boolean => (flagsOf(bytes) & RESPONSE_FLAG) !== 0;

/** Splits a TCP stream into messages. Destroys the socket when a message is too long. */
export function readMessages(socket: Socket, maxBytes: number, onMessage: (message: Buffer) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= LENGTH_BYTES && !socket.destroyed) {
      const length = pending.readUInt16BE(0);
      if (length > maxBytes) return void socket.destroy();
      const end = LENGTH_BYTES + length;
      if (pending.length < end) return;
      const message = pending.subarray(LENGTH_BYTES, end);
      pending = pending.subarray(end);
      onMessage(message);
    }
  });
}

/** Writes one message to a TCP stream. */
export function writeMessage(socket: Socket, message: Buffer): void {
  const framed = Buffer.alloc(LENGTH_BYTES + message.length);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, LENGTH_BYTES);
  socket.write(framed);
}
