import { parseCookie, stringifySetCookie } from "cookie";
import { userRoleToJSON } from "../../gen/berth/v1/cluster.js";
import { BerthError, isBerthError } from "../errors.js";
import type { HttpResponse } from "./event-stream.js";
import type { WebBackend } from "./gateway.js";
import { LoginLimiter } from "./login-limiter.js";
import { RequestSchemas } from "./request-schema.js";
import { type Session, SessionTable } from "./session-table.js";
import { readJson, type WebRequest } from "./web-messages.js";

const MAX_LOGIN_BYTES = 4_096;

/** Interval at which expired sessions are removed, even if nothing uses the server. */
const SWEEP_INTERVAL_MS = 60_000;

export interface BrowserSessionsOptions {
  readonly backend: WebBackend;
  readonly cookieName: string;
  /** Whether the cookie is sent over HTTPS only. */
  readonly isSecure: boolean;
  readonly nowMs: () => number;
}

/** The response that describes a session to the web UI. */
export interface SessionDescription {
  readonly user: string;
  /** Name of the UserRole enum value. */
  readonly role: string;
  readonly stacks: string;
  readonly isReadOnly: boolean;
  readonly expiresAtMs: number;
}

/** Starts and ends the sessions of browsers, and sets and reads their cookie. */
export class BrowserSessions {
  readonly #options: BrowserSessionsOptions;
  readonly #sessions = new SessionTable();
  readonly #limiter = new LoginLimiter();
  readonly #schemas = new RequestSchemas();
  readonly #sweep: NodeJS.Timeout;

  constructor(options: BrowserSessionsOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => this.#sessions.endExpired(options.nowMs()), SWEEP_INTERVAL_MS);
    this.#sweep.unref();
  }

  close(): void {
    clearInterval(this.#sweep);
    this.#sessions.endAll();
  }

  /**
   * Exchanges the code in the request for a session, and sets its cookie. Ends the earlier session of the browser.
   *
   * @throws BerthError BERTH_UNAUTHENTICATED for an invalid code; BERTH_LIMIT_EXCEEDED after too many attempts;
   *   BERTH_INPUT_INVALID for an invalid request
   */
  async login(request: WebRequest, response: HttpResponse, signal: AbortSignal): Promise<SessionDescription> {
    const { backend, nowMs } = this.#options;
    const { remoteAddress = "unknown", remotePort = 0 } = request.socket;
    if (!this.#limiter.allow(remoteAddress, nowMs())) {
      throw new BerthError({
        code: "BERTH_LIMIT_EXCEEDED",
        message: "login refused: there were too many attempts; try again in a minute",
      });
    }
    const body = await readJson(request, MAX_LOGIN_BYTES);
    await this.#schemas.requireMessage("Login", body);
    const { code } = body as { readonly code: string };
    const grant = await backend.redeem(code, `${remoteAddress}:${remotePort}`, signal);
    const earlier = this.#findSession(request);
    const { token, session } = this.#sessions.create(grant, nowMs());
    try {
      const description = await this.#describe(session, signal);
      response.setHeader("set-cookie", this.#setCookieHeader(token));
      if (earlier !== undefined) this.#sessions.end(earlier);
      return description;
    } catch (error) {
      this.#sessions.end(session);
      throw error;
    }
  }

  /** Ends the session of a request, if any, and removes its cookie. */
  logout(request: WebRequest, response: HttpResponse): void {
    const session = this.#findSession(request);
    if (session !== undefined) this.#sessions.end(session);
    response.setHeader("set-cookie", this.#setCookieHeader(""));
  }

  /**
   * Returns the session of a request.
   *
   * @throws BerthError BERTH_UNAUTHENTICATED
   */
  requireSession(request: Pick<WebRequest, "headers">): Session {
    const session = this.#findSession(request);
    if (session !== undefined) return session;
    throw new BerthError({
      code: "BERTH_UNAUTHENTICATED",
      message: 'the request has no session, or it has ended; log in with "berth ui login"',
    });
  }

  /**
   * Describes the session of a request.
   *
   * @throws BerthError BERTH_UNAUTHENTICATED
   */
  async describe(request: WebRequest, signal: AbortSignal): Promise<SessionDescription> {
    const session = this.requireSession(request);
    return this.endSessionIfUserRemoved(session, this.#describe(session, signal));
  }

  /** Counts an open stream. Returns a function to call when it closes, or undefined if the session has too many. */
  openStream(session: Session): (() => void) | undefined {
    return this.#sessions.openStream(session, this.#options.nowMs);
  }

  /** Awaits a call. Ends the session if the call fails because the user was removed from the cluster. */
  async endSessionIfUserRemoved<T>(session: Session, call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      const isRemoved = isBerthError(error, "BERTH_PERMISSION_DENIED") && error.details.reason === "no-role";
      if (isRemoved) this.#sessions.end(session);
      throw error;
    }
  }

  async #describe(session: Session, signal: AbortSignal): Promise<SessionDescription> {
    const { userName, isReadOnly, expiresAtMs } = session;
    const calls = this.#options.backend.callsOf({ userName, client: "" });
    const { name, role, stacks } = await calls.getCaller({}, { signal });
    return { user: name, role: userRoleToJSON(role), stacks, isReadOnly, expiresAtMs };
  }

  #findSession({ headers }: Pick<WebRequest, "headers">): Session | undefined {
    const token = parseCookie(headers.cookie ?? "")[this.#options.cookieName];
    return token ? this.#sessions.find(token, this.#options.nowMs()) : undefined;
  }

  /** Returns the header that sets the cookie, or clears it if the token is empty. */
  #setCookieHeader(token: string): string {
    const { cookieName, isSecure } = this.#options;
    const options = { path: "/", httpOnly: true, sameSite: "strict", secure: isSecure } as const;
    return stringifySetCookie(cookieName, token, token === "" ? { ...options, maxAge: 0 } : options);
  }
}
