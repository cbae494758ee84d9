import { createHash, timingSafeEqual } from "node:crypto";
import { BerthError } from "../errors.js";

/** What a join token lets its bearer become. */
export type JoinKind = "server" | "node";

/** A join token. Its text lets any host join the cluster, so it is a secret. */
export interface JoinToken {
  readonly kind: JoinKind;
  /** SHA-256 of the cluster's CA certificate in hexadecimal digits. The joining host accepts only this CA. */
  readonly authorityFingerprint: string;
  /** 16 random bytes in hexadecimal digits. */
  readonly secret: string;
}

/** What the cluster stores about a token: no secret. */
export interface JoinTokenRecord {
  readonly kind: JoinKind;
  /** SHA-256 of the token's text, in hexadecimal digits. */
  readonly hash: string;
  readonly expiresAtMs: number;
  /** How many more hosts may join with it. */
  readonly usesLeft: number;
  /** The only node that may join with it; undefined for any node. */
  readonly nodeName: string | undefined;
}

export interface JoinAttempt {
  readonly text: string;
  readonly kind: JoinKind;
  /** Name of the host that wants to join. */
  readonly nodeName: string;
}

/** The decision about an attempt to join. On success, the caller stores `record` before it issues a certificate. */
export type TokenUse =
  | { readonly kind: "accepted"; readonly record: JoinTokenRecord }
  | { readonly kind: "rejected"; readonly reason: "wrong-token" | "expired" | "used-up" | "other-node" };

const PREFIX = "berth";
export const SECRET_BYTES = 16;
/** Digits of the checksum. A typo goes unnoticed with a probability of 1 in 16 million. */
const CHECK_DIGITS = 6;

const TEXT = /^berth-(server|node)-([0-9a-f]{64})-([0-9a-f]{32})-([0-9a-f]{6})$/;
const MAX_TEXT_LENGTH = 256;

/** Returns a new token for a cluster. `random` are 16 random bytes. */
export function createJoinToken(kind: JoinKind, authorityFingerprint: string, random: Buffer): JoinToken {
  if (random.length !== SECRET_BYTES) throw new Error(`a join token needs ${SECRET_BYTES} random bytes`);
  return { kind, authorityFingerprint, secret: random.toString("hex") };
}

/** Returns the text that users copy: kind, fingerprint, secret and a checksum. */
export function formatJoinToken({ kind, authorityFingerprint, secret }: JoinToken): string {
  const body = `${PREFIX}-${kind}-${authorityFingerprint}-${secret}`;
  return `${body}-${checksum(body)}`;
}

/** Parses the text of a token. Errors do not repeat it. @throws BerthError BERTH_TOKEN_INVALID */
export function parseJoinToken(text: string): JoinToken {
  const trimmed = text.length > MAX_TEXT_LENGTH ? "" : text.trim();
  const [, kind, authorityFingerprint, secret, check] = TEXT.exec(trimmed) ?? [];
  if (kind === undefined || authorityFingerprint === undefined || secret === undefined) {
    throw invalidToken(
      "invalid join token: it does not have the form berth-KIND-FINGERPRINT-SECRET-CHECKSUM: copy the whole token",
    );
  }
  if (check !== checksum(trimmed.slice(0, -CHECK_DIGITS - 1))) {
    throw invalidToken(
      "invalid join token: its checksum is wrong: copy the token again, since a character was changed",
    );
  }
  return { kind: kind as JoinKind, authorityFingerprint, secret };
}

/** Returns the hash that the cluster stores. A plain hash suffices, since the secret has 128 random bits. */
export function hashJoinToken(text: string): string {
  return sha256(text.trim());
}

/** Decides about an attempt to join with the token of a record. Compares the token in constant time. */
export function useToken(record: JoinTokenRecord, attempt: JoinAttempt, nowMs: number): TokenUse {
  if (!isSameHash(record.hash, hashJoinToken(attempt.text)) || record.kind !== attempt.kind) {
    return { kind: "rejected", reason: "wrong-token" };
  }
  if (nowMs >= record.expiresAtMs) return { kind: "rejected", reason: "expired" };
  if (record.usesLeft <= 0) return { kind: "rejected", reason: "used-up" };
  if (record.nodeName !== undefined && record.nodeName !== attempt.nodeName) {
    return { kind: "rejected", reason: "other-node" };
  }
  return { kind: "accepted", record: { ...record, usesLeft: record.usesLeft - 1 } };
}

/** Compares two hashes in constant time. A damaged record matches no token. */
function isSameHash(stored: string, given: string): boolean {
  const [a, b] = [Buffer.from(stored, "hex"), Buffer.from(given, "hex")];
  return a.length === b.length && timingSafeEqual(a, b);
}

function checksum(body: string): string {
  return sha256(body).slice(0, CHECK_DIGITS);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function invalidToken(message: string): BerthError {
  return new BerthError({ code: "BERTH_TOKEN_INVALID", message });
}
