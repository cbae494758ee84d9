// The only place that knows dns-packet.
import {
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type Packet,
  type Answer as PacketAnswer,
  type Question,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import type { Answer } from "./lookup.js";

/** What every resolver takes over UDP; those that take more say so (RFC 6891). */
const PLAIN_UDP_BYTES = 512;
/** Larger answers would be cut into fragments on most networks (the value of DNS flag day 2020). */
const MAX_UDP_BYTES = 1_232;
const HEADER_BYTES = 12;
/** Response codes, RFC 1035 §4.1.1. */
export const RCODE = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  unknownName: 3,
  notImplemented: 4,
} as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];

const EDNS: PacketAnswer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: MAX_UDP_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

/** A question that can be answered. */
export interface Request {
  readonly id: number;
  readonly flags: number;
  readonly question: Question;
  /** The most bytes that an answer over UDP may have. */
  readonly maxUdpBytes: number;
  readonly hasEdns: boolean;
}

export type ParsedRequest =
  | { readonly kind: "request"; readonly request: Request }
  /** Answer with this. */
  | { readonly kind: "reject"; readonly reply: Buffer }
  /** Not even an answer is due: no question at all, or an answer that nobody asked for. */
  | { readonly kind: "ignore" };

export function parseRequest(bytes: Buffer): ParsedRequest {
  if (bytes.length < HEADER_BYTES || isResponse(bytes)) return { kind: "ignore" };
  try {
    const packet: Packet = decode(bytes);
    const [question, ...others] = packet.questions ?? [];
    if (question === undefined || others.length > 0) return reject(bytes, RCODE.formatError);
    if (opcodeOf(bytes) !== 0) return reject(bytes, RCODE.notImplemented);
    const edns = packet.additionals?.find((record) => record.type === "OPT");
    const offered = edns?.type === "OPT" ? edns.udpPayloadSize : PLAIN_UDP_BYTES;
    return {
      kind: "request",
      request: {
        id: packet.id ?? 0,
        flags: packet.flags ?? 0,
        question,
        maxUdpBytes: Math.min(MAX_UDP_BYTES, Math.max(PLAIN_UDP_BYTES, offered)),
        hasEdns: edns !== undefined,
      },
    };
  } catch {
    return reject(bytes, RCODE.formatError);
  }
}

/**
 * The reply with our own answer. No SOA in negative ones: without it nobody may remember them (RFC 2308 §5). One that is
 * too long for UDP says "ask again over TCP" and has what fits: musl before 1.2.4 does not ask again, and takes that.
 */
export function replyTo(
  request: Request,
  answer: Exclude<Answer, { kind: "forward" }>,
  { viaTcp }: { readonly viaTcp: boolean },
): Buffer {
  const rcode = answer.kind === "unknown" ? RCODE.unknownName : RCODE.noError;
  const answers = recordsOf(request.question.name, answer);
  const whole = encodeReply(request, { answers, rcode, isTruncated: false });
  if (viaTcp || whole.length <= request.maxUdpBytes) return whole;
  const bare = encodeReply(request, { answers: [], rcode, isTruncated: true });
  const recordBytes = (whole.length - bare.length) / answers.length;
  const fitting = Math.max(0, Math.floor((request.maxUdpBytes - bare.length) / recordBytes));
  return encodeReply(request, { answers: answers.slice(0, fitting), rcode, isTruncated: true });
}

export function failureTo(request: Request): Buffer {
  return encodeReply(request, { answers: [], rcode: RCODE.serverFailure, isTruncated: false });
}

/** Whether a datagram is the answer to a question that was sent with this id. */
export function answers(bytes: Buffer, id: number): boolean {
  return bytes.length >= HEADER_BYTES && isResponse(bytes) && bytes.readUInt16BE(0) === id;
}

export function isTruncated(bytes: Buffer): boolean {
  return (bytes.readUInt16BE(2) & TRUNCATED_RESPONSE) !== 0;
}

/** The same message with another id. */
export function withId(bytes: Buffer, id: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(id, 0);
  return copy;
}

function recordsOf(name: string, answer: Exclude<Answer, { kind: "forward" }>): PacketAnswer[] {
  switch (answer.kind) {
    case "addresses":
      return answer.addresses.map((data) => ({ type: "A", class: "IN", name, ttl: answer.ttlS, data }));
    case "name":
      return [{ type: "PTR", class: "IN", name, ttl: answer.ttlS, data: answer.name }];
    default:
      return [];
  }
}

interface ReplyContent {
  readonly answers: PacketAnswer[];
  readonly rcode: Rcode;
  readonly isTruncated: boolean;
}

/** Always authoritative: some versions of Docker go on to the next server otherwise. */
function encodeReply(
  request: Request,
  { answers: records, rcode, isTruncated: isCut }: ReplyContent,
): Buffer {
  const flags =
    AUTHORITATIVE_ANSWER |
    RECURSION_AVAILABLE |
    (request.flags & RECURSION_DESIRED) |
    (isCut ? TRUNCATED_RESPONSE : 0) |
    rcode;
  return encode({
    type: "response",
    id: request.id,
    flags,
    questions: [request.question],
    answers: records,
    additionals: request.hasEdns ? [EDNS] : [],
  });
}

function reject(bytes: Buffer, rcode: Rcode): ParsedRequest {
  const reply = Buffer.alloc(HEADER_BYTES);
  bytes.copy(reply, 0, 0, 2);
  const opcode = bytes.readUInt16BE(2) & 0x78_00;
  reply.writeUInt16BE(0x80_00 | opcode | (bytes.readUInt16BE(2) & RECURSION_DESIRED) | rcode, 2);
  return { kind: "reject", reply };
}

const isResponse = (bytes: Buffer): boolean => (bytes.readUInt16BE(2) & 0x80_00) !== 0;
const opcodeOf = (bytes: Buffer): number => (bytes.readUInt16BE(2) >> 11) & 0xf;
