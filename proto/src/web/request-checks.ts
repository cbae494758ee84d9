import { isIP } from "node:net";
import { BerthError } from "../errors.js";

/** Request header that pages of other origins cannot send without the permission of the server. */
export const API_HEADER = "x-berth-api";

/** The parts of a request that identify pages of other origins. */
export interface CheckedRequest {
  readonly method: string;
  /** Headers by lower-case name. HTTP/2 has `:authority` instead of `host`. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly isWebSocket: boolean;
}

export interface CheckOptions {
  readonly scheme: "http" | "https";
  /** Host names of this server, in lower case. IP addresses and "localhost" are always accepted. */
  readonly hostNames: ReadonlySet<string>;
}

const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/**
 * Checks that a request comes from the web UI of this server, or from a program other than a browser.
 *
 * @throws BerthError BERTH_PERMISSION_DENIED
 */
export function assertSameOrigin(request: CheckedRequest, options: CheckOptions): void {
  const { method, headers, isWebSocket } = request;
  const host = headerText(headers[":authority"]) ?? headerText(headers.host) ?? "";
  // In a DNS rebinding attack, the attacker's domain resolves to this server, and the browser sends that domain.
  if (!isOwnHost(host, options)) {
    throw refused(
      `the host ${JSON.stringify(host.slice(0, 80))} is not a name of this server; use its address`,
    );
  }
  const origin = headerText(headers.origin);
  const isForeign = origin !== undefined && origin !== `${options.scheme}://${host}`;
  if (isForeign || (isWebSocket && origin === undefined)) {
    throw refused("the request comes from a page of another origin; open the web UI of this server");
  }
  const site = headerText(headers["sec-fetch-site"]);
  if (site !== undefined && site !== "same-origin" && site !== "none") {
    throw refused("the request comes from a page of another site; open the web UI of this server");
  }
  if (!SAFE_METHODS.has(method) && headerText(headers[API_HEADER]) === undefined) {
    throw refused("the header X-Berth-Api is missing; send X-Berth-Api: 1");
  }
}

function isOwnHost(authority: string, { hostNames }: CheckOptions): boolean {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]/@\s]+)(?::[0-9]{1,5})?$/.exec(authority);
  const host = match?.[1]?.replace(/^\[|\]$/g, "").toLowerCase();
  if (host === undefined) return false;
  return isIP(host) !== 0 || host === "localhost" || hostNames.has(host);
}

/** Returns the text of a header. Undefined for a missing, empty or repeated header. */
function headerText(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function refused(message: string): BerthError {
  return new BerthError({ code: "BERTH_PERMISSION_DENIED", message: `request refused: ${message}` });
}
