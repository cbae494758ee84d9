import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import { BerthError } from "../errors.js";
import { invalidRequest } from "./http-errors.js";

export type WebRequest = IncomingMessage | Http2ServerRequest;

/** Reads the body of a request as JSON. An empty body is an empty object. @throws BerthError BERTH_INPUT_INVALID, BERTH_LIMIT_EXCEEDED */
export async function readJson(request: WebRequest, maxBytes: number): Promise<unknown> {
  const type = request.headers["content-type"] ?? "application/json";
  if (!/^application\/json\s*(?:;|$)/i.test(type)) {
    throw invalidRequest("the body has another type than application/json");
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    const part = Buffer.from(chunk);
    bytes += part.length;
    if (bytes > maxBytes) {
      throw new BerthError({
        code: "BERTH_LIMIT_EXCEEDED",
        message: `the request has more than ${maxBytes} bytes; send less at a time`,
      });
    }
    chunks.push(part);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  try {
    return text === "" ? {} : JSON.parse(text);
  } catch (cause) {
    throw invalidRequest(`the body is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}
