import { createHash, timingSafeEqual } from "node:crypto";
import { JoinKind, type JoinToken } from "../../gen/berth/v1/cluster.js";
import { BerthError } from "../errors.js";

/** The contents of a join token. */
export interface ParsedJoinToken {
  readonly kind: JoinKind;
  /** SHA-256 of the cluster's CA certificate in hexadecimal digits. The joining host accepts only this CA. */
  readonly caFingerprint: string;
  /** SHA-256 of the text in hexadecimal digits, which is what the cluster stores. */
  readonly hash: string;
}

/** Reason why a token does not admit a host or user. */
export type TokenRejection = "unknown" | "expired" | "used-up" | "other-subject";

export const SECRET_BYTES = 16;
/** Number of digits of the checksum. A typo goes unnoticed with a probability of 1 in 16 million. */
const CHECK_DIGITS = 6;
/** Number of digits of the hash that identify a token in lists and keys. */
const ID_DIGITS = 12;

const TOKEN_PATTERN = /^berth-(server|node|user)-([0-9a-f]{64})-[0-9a-f]{32}-([0-9a-f]{6})$/;
const MAX_TEXT_LENGTH = 256;

const KIND_WORDS = { node: JoinKind.NODE, server: JoinKind.SERVER, user: JoinKind.USER } as const;
type KindWord = keyof typeof KIND_WORDS;

/**
 * Returns the text of a new token: kind, CA fingerprint, secret and checksum.
 *
 * @param random 16 random bytes
 */
export function formatJoinToken(kind: JoinKind, caFingerprint: string, random: Buffer): string {
  if (random.length !== SECRET_BYTES) throw new Error(`a join token needs ${SECRET_BYTES} random bytes`);
  const body = `berth-${joinKindWord(kind)}-${caFingerprint}-${random.toString("hex")}`;
  return `${body}-${checksum(body)}`;
}

/**
 * Parses the text of a token. Errors do not repeat it.
 *
 * @throws BerthError BERTH_TOKEN_INVALID
 */
export function parseJoinToken(text: string): ParsedJoinToken {
  const trimmed = text.length > MAX_TEXT_LENGTH ? "" : text.trim();
  const [, word, caFingerprint, check] = TOKEN_PATTERN.exec(trimmed) ?? [];
  if (word === undefined || caFingerprint === undefined) {
    throw invalidTokenError(
      "invalid join token: it does not have the form berth-KIND-FINGERPRINT-SECRET-CHECKSUM; copy the whole token",
    );
  }
  if (check !== checksum(trimmed.slice(0, -CHECK_DIGITS - 1))) {
    throw invalidTokenError(
      "invalid join token: its checksum is wrong, because a character was changed; copy the token again",
    );
  }
  return { kind: KIND_WORDS[word as KindWord], caFingerprint, hash: sha256(trimmed) };
}

/** Returns the ID under which the cluster stores a token. It reveals nothing about the secret's 128 random bits. */
export function joinTokenId(hash: string): string {
  return hash.slice(0, ID_DIGITS);
}

/** Returns the word for a kind in tokens, options and messages. */
export function joinKindWord(kind: JoinKind): KindWord {
  const [word] = Object.entries(KIND_WORDS).find(([, value]) => value === kind) ?? [];
  if (word === undefined) throw new Error(`there are no join tokens of kind ${kind}`);
  return word as KindWord;
}

/**
 * Returns why a token does not admit a host or user, or undefined if it does. Compares the hash in constant time.
 *
 * @param record the stored token with the ID of the presented one; undefined if there is none
 * @param subject the name of the host or user
 */
export function tokenRejection(
  record: JoinToken | undefined,
  { token, subject }: { readonly token: ParsedJoinToken; readonly subject: string },
  nowMs: number,
): TokenRejection | undefined {
  if (record === undefined || record.kind !== token.kind || !isSameHash(record.hash, token.hash)) {
    return "unknown";
  }
  if (nowMs >= record.expiresAtMs) return "expired";
  if (record.subject !== "" && record.subject !== subject) return "other-subject";
  return record.usesLeft <= 0 ? "used-up" : undefined;
}

/** Compares two hashes in constant time. A damaged record matches no token. */
function isSameHash(stored: string, given: string): boolean {
  const [a, b] = [Buffer.from(stored, "hex"), Buffer.from(given, "hex")];
  return a.length === b.length && timingSafeEqual(a, b);
}

function checksum(body: string): string {
  return sha256(body).slice(0, CHECK_DIGITS);
}

/** A plain hash suffices, since the secret has 128 random bits. */
function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function invalidTokenError(message: string): BerthError {
  return new BerthError({ code: "BERTH_TOKEN_INVALID", message });
}
