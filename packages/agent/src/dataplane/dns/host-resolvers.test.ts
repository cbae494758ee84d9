import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { HostResolvers } from "./host-resolvers.js";

it("HostResolvers returns the same servers to concurrent callers, even the first time", async () => {
  const directory = mkdtempSync(join(tmpdir(), "berth-resolvers-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "resolv.conf");
  writeFileSync(path, "nameserver 192.0.2.1\nnameserver invalid\n");
  const resolvers = new HostResolvers(path, () => 0);
  const concurrent = await Promise.all([resolvers.servers(), resolvers.servers()]);
  expect(concurrent).toEqual([["192.0.2.1"], ["192.0.2.1"]]);
});
