import { createServer } from "node:net";
import { PortSpec_Protocol } from "@berth/proto";
import { expect, test } from "vitest";
import { listenersByCount } from "./listeners-by-count.js";
import { socketCounts } from "./socket-counts.js";

const LISTENER = { protocol: PortSpec_Protocol.TCP, address: "", port: 80 };

test("listenersByCount() reads anew when the counts have changed, when there are none, and every tenth time", async () => {
  let reads = 0;
  let counted = "TCP: inuse 1";
  const look = listenersByCount({
    read: async () => {
      reads += 1;
      return [LISTENER];
    },
    counts: async () => counted,
  });
  const readsOf = async (looks: number): Promise<number> => {
    reads = 0;
    for (let done = 0; done < looks; done += 1) expect(await look()).toEqual([LISTENER]);
    return reads;
  };
  expect(await readsOf(10)).toBe(1);
  expect(await readsOf(10)).toBe(1);
  counted = "TCP: inuse 2";
  expect(await readsOf(1)).toBe(1);
  expect(await readsOf(5)).toBe(0);
  counted = "";
  expect(await readsOf(3)).toBe(3);
});

test("socketCounts() tells of one more while a program listens", async () => {
  const tcpOf = async (): Promise<number> => Number(/TCP: inuse (\d+)/.exec(await socketCounts())?.[1]);
  const sockets = Array.from({ length: 200 }, () => createServer());
  const before = await tcpOf();
  await Promise.all(
    sockets.map((server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
  );
  try {
    // Other programs open and close some meanwhile.
    expect(await tcpOf()).toBeGreaterThan(before + 100);
    expect(await socketCounts()).toMatch(/^TCP: inuse \d+, UDP: inuse \d+/);
  } finally {
    for (const server of sockets) server.close();
  }
  expect(await socketCounts("/nonexistent")).toBe("");
});
