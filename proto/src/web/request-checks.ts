import { isIP } from "node:net";
import { BerthError } from "../errors.js";

/** Request header that pages of other origins cannot send without the permission of the server. */
export const API_HEADER = "x-berth-api";

/** The parts of a request by which foreign pages are recognized. */
export interface CheckedRequest {
  readonly method: string;
  /** Lower-case names. HTTP/2 has `:authority` instead of `host`. */
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
 * Checks that a request comes from the page of this server, or from a program.
 * @throws BerthError BERTH_PERMISSION_DENIED
 */
export function requireOwnPage(request: CheckedRequest, options: CheckOptions): void {
  const host = textOf(request.headers[":authority"]) || textOf(request.headers.host);
  // An attacker's name can lead to the address of this server (DNS rebinding). The browser then sends that name.
  if (!isOwnHost(host, options)) {
    throw refused(
      `the host ${JSON.stringify(host.slice(0, 80))} is not a name of this server; use its address`,
    );
  }
  const origin = textOf(request.headers.origin);
  const isForeign = origin !== "" && origin !== `${options.scheme}://${host}`;
  if (isForeign || (request.isWebSocket && origin === "")) {
    throw refused("the request comes from a page of another origin; open the page of this server");
  }
  const site = textOf(request.headers["sec-fetch-site"]);
  if (site !== "" && site !== "same-origin" && site !== "none") {
    throw refused("the request comes from a page of another site; open the page of this server");
  }
  if (!SAFE_METHODS.has(request.method) && textOf(request.headers[API_HEADER]) === "") {
    throw refused("the header X-Berth-Api is missing; send X-Berth-Api: 1");
  }
}

function isOwnHost(authority: string, { hostNames }: CheckOptions): boolean {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]/@\s]+)(?::[0-9]{1,5})?$/.exec(authority);
  const host = match?.[1]?.replace(/^\[|\]$/g, "").toLowerCase();
  if (host === undefined) return false;
  return isIP(host) !== 0 || host === "localhost" || hostNames.has(host);
}

function textOf(value: string | readonly string[] | undefined): string {
  return typeof value === "string" ? value : "";
}

function refused(message: string): BerthError {
  return new BerthError({ code: "BERTH_PERMISSION_DENIED", message: `request refused: ${message}` });
}
