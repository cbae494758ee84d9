import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Target } from "./new-connections.js";
import { answerIn, reasonOf } from "./result.js";

const REQUEST = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

/** What is to be known of the clients that keep their connections, beside their results. */
export interface KeptCounts {
  /** A server may close an idle connection at any time: the request that met this was sent again on a new one. */
  resent: number;
}

/**
 * A client that keeps its connection and asks every `everyMs`, until the signal fires. As every HTTP client it sends a
 * request once more when a connection that it had used before ends before the first byte of the answer.
 */
export async function keepAsking(
  target: Target & { readonly everyMs: number; readonly counts: KeptCounts; readonly number: number },
  signal: AbortSignal,
): Promise<void> {
  const { addresses, everyMs, counts, onResult, number } = target;
  const address = addresses[number % addresses.length] ?? "";
  let kept: Kept | undefined;
  await sleep((everyMs * number) / 32, undefined, { signal }).catch(() => {});
  while (!signal.aborted) {
    const sentAtMs = Date.now();
    const startedAt = performance.now();
    const isReused = kept?.isOpen === true;
    kept = kept?.isOpen === true ? kept : new Kept(address, target);
    let outcome = await kept.ask();
    if (outcome.failure !== "" && isReused && !outcome.hasBegun) {
      counts.resent += 1;
      kept = new Kept(address, target);
      outcome = await kept.ask();
    }
    const { failure } = outcome;
    onResult({ client: "kept", sentAtMs, latencyMs: performance.now() - startedAt, failure });
    await sleep(everyMs, undefined, { signal }).catch(() => {});
  }
  kept?.close();
}

class Kept {
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  #received = "";
  #settle: ((failure: string) => void) | undefined;
  isOpen = true;

  constructor(address: string, { port, timeoutMs }: Target) {
    this.#timeoutMs = timeoutMs;
    this.#socket = connect({ host: address, port, noDelay: true });
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (chunk: string) => this.#take(chunk));
    this.#socket.on("error", (error) => this.#end(reasonOf(error)));
    this.#socket.on("end", () => this.#end("closed without an answer"));
  }

  ask(): Promise<{ readonly failure: string; readonly hasBegun: boolean }> {
    this.#received = "";
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#end(`no answer in ${this.#timeoutMs} ms`), this.#timeoutMs);
      this.#settle = (failure) => {
        clearTimeout(timer);
        this.#settle = undefined;
        resolve({ failure, hasBegun: this.#received !== "" });
      };
      this.#socket.write(REQUEST);
    });
  }

  close(): void {
    this.isOpen = false;
    this.#socket.destroy();
  }

  #take(chunk: string): void {
    this.#received += chunk;
    const answer = answerIn(this.#received);
    if (answer !== undefined) this.#settle?.(answer.isOk ? "" : "a wrong answer");
  }

  #end(failure: string): void {
    this.close();
    this.#settle?.(failure);
  }
}
