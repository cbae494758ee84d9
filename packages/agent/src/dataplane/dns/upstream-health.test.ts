import { expect, it } from "vitest";
import { UpstreamHealth } from "./upstream-health.js";

const SERVER = "192.0.2.1";

/** A server whose probes end when the test says so. */
function createHealth() {
  let now = 0;
  const pending: (() => void)[] = [];
  let probes = 0;
  const health = new UpstreamHealth({
    now: () => now,
    probe: () => {
      probes += 1;
      return new Promise((resolve) => pending.push(resolve));
    },
  });
  return {
    health,
    isDown: () => health.isDown(SERVER),
    probes: () => probes,
    advance: (ms: number) => {
      now += ms;
    },
    /** Ends the current probe. */
    endProbe: async ({ isAnswered }: { readonly isAnswered: boolean }) => {
      if (isAnswered) health.recordReply(SERVER);
      pending.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

const SILENT = { isAnswered: false };
const ANSWERED = { isAnswered: true };

/** Returns a server that counts as down at 1,000 ms. */
async function createDownServer() {
  const server = createHealth();
  server.health.recordTimeout(SERVER, 0);
  server.advance(500);
  await server.endProbe(SILENT);
  server.advance(500);
  await server.endProbe(SILENT);
  return server;
}

it("UpstreamHealth counts a server as down for 3 s after it answered neither a query nor two probes", async () => {
  const { health, isDown, endProbe, advance } = createHealth();
  health.recordTimeout(SERVER, 0);
  await endProbe(SILENT);
  expect(isDown()).toBe(false);
  await endProbe(SILENT);
  expect([isDown(), health.isDown("192.0.2.2")]).toEqual([true, false]);
  advance(3_000);
  expect(isDown()).toBe(false);
});

it("UpstreamHealth does not count a server as down that answers probes, however many queries time out", async () => {
  const { health, isDown, endProbe, advance, probes } = createHealth();
  for (let at = 0; at < 100; at += 1) {
    advance(125);
    health.recordTimeout(SERVER, at * 125 - 1_500);
    await endProbe(at % 2 === 0 ? SILENT : ANSWERED);
    expect(isDown()).toBe(false);
  }
  expect(probes()).toBeLessThan(20);
});

it("UpstreamHealth does not probe a server that answered another query after this one was sent", () => {
  const { health, advance, probes } = createHealth();
  advance(1_000);
  health.recordReply(SERVER);
  advance(1_000);
  health.recordTimeout(SERVER, 500);
  expect(probes()).toBe(0);
  health.recordTimeout(SERVER, 1_500);
  expect(probes()).toBe(1);
});

it("UpstreamHealth ends the down state when a check meanwhile is answered, and extends it when not", async () => {
  const { health, isDown, endProbe, advance, probes } = await createDownServer();
  advance(2_000);
  health.recordSkipped(SERVER);
  health.recordSkipped(SERVER);
  expect(probes()).toBe(3);
  await endProbe(SILENT);
  await endProbe(SILENT);
  advance(2_000);
  expect(isDown()).toBe(true);
  health.recordSkipped(SERVER);
  await endProbe(ANSWERED);
  expect(isDown()).toBe(false);
});

it("UpstreamHealth waits between two checks", async () => {
  const { health, advance, probes } = await createDownServer();
  health.recordSkipped(SERVER);
  expect(probes()).toBe(2);
  advance(500);
  health.recordSkipped(SERVER);
  expect(probes()).toBe(3);
});

it("UpstreamHealth keeps the state of 1,000 servers", async () => {
  const { health, isDown, advance } = await createDownServer();
  for (let at = 0; at < 999; at += 1) health.recordReply(`198.51.${at >> 8}.${at & 255}`);
  expect(isDown()).toBe(true);
  health.recordReply("203.0.113.1");
  advance(1);
  expect(isDown()).toBe(false);
});
