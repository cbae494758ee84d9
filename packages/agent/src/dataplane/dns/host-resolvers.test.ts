import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { HostResolvers } from "./host-resolvers.js";

it("HostResolvers tells everybody who asks at once, the first time as well", async () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-resolvers-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "resolv.conf");
  writeFileSync(path, "nameserver 192.0.2.1\nnameserver nobody\n");
  const resolvers = new HostResolvers(path, () => 0);
  const asked = await Promise.all([resolvers.servers(), resolvers.servers()]);
  expect(asked).toEqual([["192.0.2.1"], ["192.0.2.1"]]);
});
