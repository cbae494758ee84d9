import { connect } from "node:net";
import { answerIn, type Result, reasonOf } from "./result.js";

const TICK_MS = 4;
/** After the process itself was held up: catching up all at once would be a burst that nobody asked for. */
const MAX_BURST = 25;
const REQUEST = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

export interface Target {
  /** Asked in turn. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly timeoutMs: number;
  readonly onResult: (result: Result) => void;
}

/** Opens so many connections a second, one request each, until the signal fires; resolves when none is under way. */
export async function openConnections(
  target: Target & { readonly perSecond: number },
  signal: AbortSignal,
): Promise<void> {
  const startedAt = performance.now();
  const underWay = new Set<Promise<void>>();
  let sent = 0;
  const send = (): void => {
    const address = target.addresses[sent % target.addresses.length] ?? "";
    sent += 1;
    const done = requestOnce(address, target).then((result) => {
      target.onResult(result);
      underWay.delete(done);
    });
    underWay.add(done);
  };
  await new Promise<void>((resolve) => {
    const tick = (): void => {
      const due = Math.floor(((performance.now() - startedAt) / 1_000) * target.perSecond);
      sent = Math.max(sent, due - MAX_BURST);
      while (sent < due) send();
    };
    const timer = setInterval(tick, TICK_MS);
    const stop = (): void => {
      clearInterval(timer);
      resolve();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  await Promise.all(underWay);
}

/** Never rejects: a failure is a result. */
function requestOnce(address: string, { port, timeoutMs }: Target): Promise<Result> {
  const sentAtMs = Date.now();
  const startedAt = performance.now();
  return new Promise((resolve) => {
    let received = "";
    const socket = connect({ host: address, port });
    const end = (failure: string): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on("error", () => {});
      socket.destroy();
      resolve({ client: "new", sentAtMs, latencyMs: performance.now() - startedAt, failure });
    };
    const timer = setTimeout(() => end(`no answer in ${timeoutMs} ms`), timeoutMs);
    socket.setEncoding("latin1");
    socket.once("connect", () => socket.write(REQUEST));
    socket.on("data", (chunk: string) => {
      received += chunk;
      const answer = answerIn(received);
      if (answer !== undefined) end(answer.isOk ? "" : "a wrong answer");
    });
    socket.on("error", (error) => end(reasonOf(error)));
    socket.on("end", () => end("closed without an answer"));
  });
}
