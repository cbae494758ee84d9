import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { HostResolvers, UpstreamHealth } from "./forwarder.js";

it("HostResolvers returns the same servers to concurrent callers, even the first time", async () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-resolvers-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "resolv.conf");
  writeFileSync(path, "nameserver 192.0.2.1\nnameserver invalid\n");
  const resolvers = new HostResolvers(path, () => 0);
  const concurrent = await Promise.all([resolvers.servers(), resolvers.servers()]);
  expect(concurrent).toEqual([["192.0.2.1"], ["192.0.2.1"]]);
});

it("UpstreamHealth takes a server as down for 3 s after three timeouts in a row", () => {
  let now = 0;
  const health = new UpstreamHealth(() => now);
  const isDown = (): boolean => health.isDown("192.0.2.1");
  health.recordTimeout("192.0.2.1");
  health.recordTimeout("192.0.2.1");
  health.recordAnswer("192.0.2.1");
  health.recordTimeout("192.0.2.1");
  health.recordTimeout("192.0.2.1");
  expect(isDown()).toBe(false);
  health.recordTimeout("192.0.2.1");
  expect([isDown(), health.isDown("192.0.2.2")]).toEqual([true, false]);
  now = 3_000;
  expect(isDown()).toBe(false);
  health.recordTimeout("192.0.2.1");
  expect(isDown()).toBe(true);
  health.recordAnswer("192.0.2.1");
  expect(isDown()).toBe(false);
});
