import { createHash, randomBytes } from "node:crypto";
import { BerthError } from "../errors.js";

/** Validity of a login code, which suffices to follow a link. */
export const LOGIN_CODE_TTL_MS = 60_000;

/** Maximum number of unused codes. The oldest ones are dropped. */
const MAX_CODES = 1_000;

/** Maximum number of unused codes of one user. */
const MAX_CODES_PER_USER = 16;

const SECRET_BYTES = 32;
const MAX_CODE_LENGTH = 512;

/** Permissions of a session. */
export interface LoginGrant {
  /** Name in the certificates of the user. */
  readonly userName: string;
  /** The session may only call methods that viewers may call. */
  readonly isReadOnly: boolean;
}

interface PendingLogin {
  readonly grant: LoginGrant;
  readonly expiresAtMs: number;
}

/** The one-time codes with which browsers log in. Only their hashes are kept. */
export class LoginCodes {
  /** Unused codes by hash, the oldest first. */
  readonly #pending = new Map<string, PendingLogin>();

  /** Creates a code: the name of the user, and a secret. */
  create(grant: LoginGrant, nowMs: number): { readonly code: string; readonly expiresAtMs: number } {
    this.#dropExpired(nowMs);
    const ofUser = [...this.#pending].filter(([, pending]) => pending.grant.userName === grant.userName);
    const [oldestOfUser] = ofUser[0] ?? [];
    if (ofUser.length >= MAX_CODES_PER_USER && oldestOfUser !== undefined) this.#pending.delete(oldestOfUser);
    const [oldest] = this.#pending.keys();
    if (this.#pending.size >= MAX_CODES && oldest !== undefined) this.#pending.delete(oldest);
    const code = `${grant.userName}.${randomBytes(SECRET_BYTES).toString("base64url")}`;
    const expiresAtMs = nowMs + LOGIN_CODE_TTL_MS;
    this.#pending.set(hashOf(code), { grant, expiresAtMs });
    return { code, expiresAtMs };
  }

  /**
   * Uses a code up.
   *
   * @throws BerthError BERTH_UNAUTHENTICATED for a used, expired or wrong code
   */
  redeem(code: string, nowMs: number): LoginGrant {
    this.#dropExpired(nowMs);
    const hash = code.length > MAX_CODE_LENGTH ? "" : hashOf(code);
    const pending = this.#pending.get(hash);
    if (pending === undefined) {
      throw new BerthError({
        code: "BERTH_UNAUTHENTICATED",
        message: 'login failed: the code is wrong, expired or used; get another one with "berth ui login"',
      });
    }
    this.#pending.delete(hash);
    return pending.grant;
  }

  #dropExpired(nowMs: number): void {
    for (const [hash, { expiresAtMs }] of this.#pending) {
      if (expiresAtMs <= nowMs) this.#pending.delete(hash);
    }
  }
}

/** Returns the name that a code claims to belong to. Empty for text that is not a code. */
export function claimedUser(code: string): string {
  return code.length > MAX_CODE_LENGTH ? "" : code.slice(0, Math.max(0, code.lastIndexOf(".")));
}

function hashOf(code: string): string {
  return createHash("sha256").update(code).digest("hex");
}
