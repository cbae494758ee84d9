import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { containerResolvers } from "./container-resolvers.js";

test("containerResolvers leaves out the host's loopback, and finds systemd's servers behind it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-resolvers-"));
  const [plain, behind] = [join(folder, "resolv.conf"), join(folder, "systemd.conf")];
  try {
    writeFileSync(plain, "nameserver 127.0.0.53\nnameserver ::1\noptions edns0\n");
    writeFileSync(behind, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
    expect(await containerResolvers([plain, behind])).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect(await containerResolvers([plain, join(folder, "missing")])).toEqual([]);
    writeFileSync(plain, "nameserver 192.0.2.9\nnameserver 127.0.0.1\n");
    expect(await containerResolvers([plain, behind])).toEqual(["192.0.2.9"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
