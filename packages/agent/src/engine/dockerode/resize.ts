import { setTimeout as sleep } from "node:timers/promises";
import type { TerminalSize } from "../engine.js";
import type { EngineClient } from "./client.js";

const RETRY_MS = 10;

export interface ResizeRequest {
  /** The path of the resize call. */
  readonly path: string;
  readonly size: TerminalSize;
  readonly attempts: number;
  /** Returns false when the process has ended. */
  readonly isOpen: () => boolean;
  readonly signal: AbortSignal;
}

/**
 * Sets the size of a terminal. Retries while Docker refuses: a terminal cannot be resized before its process has started,
 * and Docker does not report the start. Never rejects.
 */
export async function resizeTerminal(client: EngineClient, request: ResizeRequest): Promise<void> {
  const { path, size, attempts, isOpen, signal } = request;
  const query = { h: String(size.rows), w: String(size.columns) };
  for (let attempt = 0; attempt < attempts && isOpen(); attempt++) {
    try {
      await client.request({ method: "POST", path, query, signal });
      return;
    } catch {
      if (signal.aborted) return;
      await sleep(RETRY_MS);
    }
  }
}
