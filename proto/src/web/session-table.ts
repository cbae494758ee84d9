import { createHash, randomBytes } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { LoginGrant } from "./login-codes.js";

/** Longest duration of a session: a working day. */
export const SESSION_TTL_MS = 12 * 60 * 60_000;

/** Time without a request after which a session ends. */
const IDLE_TTL_MS = 2 * 60 * 60_000;

/** Maximum number of sessions. The oldest ones end. */
const MAX_SESSIONS = 1_000;

/** Maximum number of sessions of one user. */
const MAX_SESSIONS_PER_USER = 16;

/** Maximum number of open streams of a session: several tabs with logs and terminals. */
export const MAX_STREAMS_PER_SESSION = 32;

const TOKEN_BYTES = 32;

/** A browser that has logged in. */
export interface Session extends LoginGrant {
  /** Hash of the token. */
  readonly id: string;
  readonly expiresAtMs: number;
  /** Aborts when the session ends. */
  readonly ended: AbortSignal;
}

interface KnownSession extends Session {
  readonly controller: AbortController;
  usedMs: number;
  streams: number;
}

/** The sessions of one server, in memory. Only hashes of their tokens are kept. */
export class SessionTable {
  /** Sessions by hash of the token, the oldest first. */
  readonly #sessions = new Map<string, KnownSession>();

  get size(): number {
    return this.#sessions.size;
  }

  /** Starts a session. Returns the token that the browser keeps. */
  create(grant: LoginGrant, nowMs: number): { readonly token: string; readonly session: Session } {
    this.endExpired(nowMs);
    const ofUser = [...this.#sessions.values()].filter(({ userName }) => userName === grant.userName);
    if (ofUser.length >= MAX_SESSIONS_PER_USER) this.#end(ofUser[0]);
    if (this.#sessions.size >= MAX_SESSIONS) this.#end(this.#sessions.values().next().value);
    const token = randomBytes(TOKEN_BYTES).toString("base64url");
    const controller = new AbortController();
    // Each call and stream of the session adds a listener.
    setMaxListeners(0, controller.signal);
    const session: KnownSession = {
      id: hashOf(token),
      userName: grant.userName,
      isReadOnly: grant.isReadOnly,
      expiresAtMs: nowMs + SESSION_TTL_MS,
      ended: controller.signal,
      controller,
      usedMs: nowMs,
      streams: 0,
    };
    this.#sessions.set(session.id, session);
    return { token, session };
  }

  /** Returns the session of a token and marks it as used. Returns undefined for an unknown or expired token. */
  find(token: string, nowMs: number): Session | undefined {
    this.endExpired(nowMs);
    const session = this.#sessions.get(hashOf(token));
    if (session !== undefined) session.usedMs = nowMs;
    return session;
  }

  /** Counts an open stream. Returns a function to call when it closes, or undefined if the session has too many. */
  openStream(session: Session, nowMs: () => number): (() => void) | undefined {
    const known = this.#sessions.get(session.id);
    if (known === undefined || known.streams >= MAX_STREAMS_PER_SESSION) return undefined;
    known.streams += 1;
    return () => {
      known.streams -= 1;
      known.usedMs = nowMs();
    };
  }

  /** Ends a session and its streams. */
  end(session: Session): void {
    this.#end(this.#sessions.get(session.id));
  }

  /** Ends the sessions that have expired, or that have been idle for too long. */
  endExpired(nowMs: number): void {
    for (const session of this.#sessions.values()) {
      const isIdle = session.streams === 0 && nowMs - session.usedMs >= IDLE_TTL_MS;
      if (isIdle || nowMs >= session.expiresAtMs) this.#end(session);
    }
  }

  endAll(): void {
    for (const session of this.#sessions.values()) this.#end(session);
  }

  #end(session: KnownSession | undefined): void {
    if (session === undefined || !this.#sessions.delete(session.id)) return;
    session.controller.abort();
  }
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
