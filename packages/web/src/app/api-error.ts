import { isObject, readObject, readText, readTextMap } from "../core/json.js";

export interface ApiErrorDetails {
  /** A stable code such as "BERTH_SPEC_INVALID". Empty when the server was not reached. */
  readonly code: string;
  /** Status of HTTP. 0 when the server was not reached. */
  readonly status: number;
  readonly details?: Readonly<Record<string, string>>;
}

/** An error that the server returned, or that kept the web UI from reaching it. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: string;
  readonly status: number;
  readonly details: Readonly<Record<string, string>>;

  constructor(message: string, { code, status, details = {} }: ApiErrorDetails) {
    super(message);
    this.code = code;
    this.status = status;
    this.details = details;
  }

  /** Whether the web UI has no session, or its session has ended. */
  get isUnauthenticated(): boolean {
    return this.status === 401;
  }
}

/** Returns the error in a response or in the last event of a stream. */
export function decodeApiError(status: number, body: unknown): ApiError {
  const error = readObject(isObject(body) ? body : {}, "error");
  return new ApiError(readText(error, "message") || `the server returned status ${status}`, {
    code: readText(error, "code"),
    status,
    details: readTextMap(error, "details"),
  });
}

/** Returns the text of an error for users. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
