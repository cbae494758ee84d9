import { BerthError, type ErrorCode, isErrorCode } from "../errors.js";

/** Protocol name that TLS negotiates (ALPN) for downloads. gRPC negotiates "h2". */
export const DOWNLOAD_PROTOCOL = "berth-download/1";

/** Maximum length of a line that either side sends before the content. */
export const MAX_LINE_BYTES = 16 * 1024;

/** Maximum length of an error message. */
const MAX_MESSAGE_LENGTH = 2_000;

/** Maximum length of a name. */
const MAX_NAME_LENGTH = 500;
const NEWLINE = 0x0a;

/** Request of a client. */
export interface DownloadRequest {
  readonly name: string;
  /** The first byte that the client needs. */
  readonly offset: number;
}

/** The number of bytes that follow, or why there are none. */
export type DownloadReply =
  | { readonly kind: "content"; readonly bytes: number }
  | { readonly kind: "error"; readonly error: BerthError };

export function formatRequest({ name, offset }: DownloadRequest): string {
  return `${JSON.stringify({ name, offset })}\n`;
}

/** @throws BerthError BERTH_PROTOCOL */
export function parseRequest(line: string): DownloadRequest {
  const { name, offset } = parseObject(line);
  if (typeof name !== "string" || name.length > MAX_NAME_LENGTH || !isCount(offset)) {
    throw malformed("request");
  }
  return { name, offset };
}

export function formatReply(reply: DownloadReply): string {
  switch (reply.kind) {
    case "content":
      return `${JSON.stringify({ bytes: reply.bytes })}\n`;
    case "error": {
      const { code, message } = reply.error;
      return `${JSON.stringify({ code, message: message.slice(0, MAX_MESSAGE_LENGTH) })}\n`;
    }
  }
}

/** @throws BerthError BERTH_PROTOCOL */
export function parseReply(line: string): DownloadReply {
  const { bytes, code, message } = parseObject(line);
  if (isCount(bytes)) return { kind: "content", bytes };
  if (typeof code !== "string" || typeof message !== "string") throw malformed("reply");
  const known: ErrorCode = isErrorCode(code) ? code : "BERTH_PROTOCOL";
  return {
    kind: "error",
    error: new BerthError({ code: known, message: message.slice(0, MAX_MESSAGE_LENGTH) }),
  };
}

/** Collects the bytes of a line. */
export class LineReader {
  #line = Buffer.alloc(0);

  /**
   * Takes the bytes up to the end of the line. Returns the line and the bytes after it; undefined if the line continues.
   *
   * @throws BerthError BERTH_PROTOCOL when the line is too long
   */
  add(bytes: Uint8Array): { readonly line: string; readonly rest: Uint8Array } | undefined {
    const end = bytes.indexOf(NEWLINE);
    this.#line = Buffer.concat([this.#line, end < 0 ? bytes : bytes.subarray(0, end)]);
    if (this.#line.length > MAX_LINE_BYTES) throw malformed("line");
    return end < 0 ? undefined : { line: this.#line.toString("utf8"), rest: bytes.subarray(end + 1) };
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parseObject(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function malformed(what: string): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: `the other side of a download sent a malformed ${what}`,
  });
}
