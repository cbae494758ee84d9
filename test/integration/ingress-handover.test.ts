import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Ingress, openIngress } from "../../packages/agent/src/ingress/client.js";
import {
  ask,
  Cleanup,
  deadline,
  ENTRY,
  folderFor,
  openClient,
  startBackend,
  tcpListener,
  unusedPort,
} from "./ingress-harness.js";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

function open(dataDir: string, release: string, entryPath = ENTRY): Promise<Ingress> {
  const logger = pino({ level: "silent" });
  return openIngress({ dataDir, logger, signal: new AbortController().signal, entryPath, release });
}

/** Asks without a pause, a few at a time, until it is told to stop. */
function askOnAndOn(port: number): { stop(): Promise<readonly string[]> } {
  const answers: string[] = [];
  let isOver = false;
  const one = async (): Promise<void> => {
    while (!isOver) {
      answers.push(await ask(port, "x"));
      await sleep(1);
    }
  };
  const all = Promise.all([one(), one(), one(), one()]);
  return {
    stop: async () => {
      isOver = true;
      await all;
      return answers;
    },
  };
}

describe("an ingress process of another release", () => {
  it("gives its listening sockets to the new one: nobody is refused, nobody is cut off", async () => {
    const dataDir = folderFor(cleanup);
    const old = await open(dataDir, "old");
    const port = await unusedPort();
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    const listeners = [tcpListener(port, [endpoint])];
    await old.apply({ version: 1, listeners }, deadline());
    const { processId } = await old.stats(deadline());
    const kept = openClient(cleanup, port);
    kept.socket.write("one");
    await expect.poll(() => kept.read()).toBe("one");
    const asking = askOnAndOn(port);
    await sleep(50);
    old.close();

    const successor = await open(dataDir, "new");
    cleanup.add(() => successor.stop(deadline()));
    const stats = await successor.stats(deadline());
    expect(stats.processId).not.toBe(processId);
    // It serves before it has been given a table.
    expect(stats).toMatchObject({ version: 1, errors: [], listeners: [{ port, service: "web" }] });
    await successor.apply({ version: 2, listeners }, deadline());
    await sleep(100);
    const answers = await asking.stop();
    expect(answers.length).toBeGreaterThan(50);
    expect(answers.filter((answer) => answer !== "x")).toEqual([]);

    kept.socket.end(" two");
    await kept.closed;
    expect(kept.read()).toBe("one two");
    await vi.waitFor(() => expect(() => process.kill(processId, 0)).toThrow("ESRCH"), { timeout: 5_000 });
  });

  it("serves on when the new one does not start", async () => {
    const dataDir = folderFor(cleanup);
    const old = await open(dataDir, "old");
    const port = await unusedPort();
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    await old.apply({ version: 1, listeners: [tcpListener(port, [endpoint])] }, deadline());
    const { processId } = await old.stats(deadline());
    old.close();
    const agent = await open(dataDir, "new", "/no/such/entry.js");
    cleanup.add(() => agent.stop(deadline()));
    expect((await agent.stats(deadline())).processId).toBe(processId);
    expect(await ask(port, "x")).toBe("x");
  });

  it("is left as it is by an agent of the same release", async () => {
    const dataDir = folderFor(cleanup);
    const first = await open(dataDir, "same");
    const { processId } = await first.stats(deadline());
    first.close();
    const second = await open(dataDir, "same");
    cleanup.add(() => second.stop(deadline()));
    expect((await second.stats(deadline())).processId).toBe(processId);
  });
});
