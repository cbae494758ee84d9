/** What became of one request. */
export interface Result {
  readonly client: "new" | "kept";
  /** Milliseconds since the epoch. */
  readonly sentAtMs: number;
  /**
   * From the attempt to connect to the whole, tiny answer: a process that balances accepts before it has found anybody
   * behind it, so that the handshake alone tells nothing.
   */
  readonly latencyMs: number;
  /** Empty: it was answered. */
  readonly failure: string;
}

/** Whether what has arrived is a whole answer; undefined: not yet. */
export function answerIn(received: string): { readonly isOk: boolean } | undefined {
  const end = received.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(received)?.[1] ?? 0);
  if (received.length < end + 4 + length) return undefined;
  return { isOk: received.startsWith("HTTP/1.1 200") };
}

/** `ECONNRESET` says it as well as a sentence, and is the same every time. */
export function reasonOf(error: Error): string {
  return "code" in error ? String(error.code) : error.message;
}
