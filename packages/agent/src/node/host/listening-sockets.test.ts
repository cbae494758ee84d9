import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PortSpec_Protocol } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { cachedListeners, parseSocketLine, readListeners, socketCounts } from "./listening-sockets.js";

const line = (local: string, state: string): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 20853 1 0000000000000000`;
const line6 = (local: string, state: string): string =>
  `   1: ${local} 00000000000000000000000000000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0 0 1`;

describe("parseSocketLine", () => {
  test.each([
    ["00000000:0050", "0.0.0.0", 80],
    ["0100007F:1F90", "127.0.0.1", 8080],
    ["070200C0:FFFF", "192.0.2.7", 65_535],
  ])("parseSocketLine reads the IPv4 address %s", (local, address, port) => {
    expect(parseSocketLine(line(local, "0A"), "tcp")).toEqual({ address, port });
    expect(parseSocketLine(line(local, "07"), "udp")).toEqual({ address, port });
  });

  test.each([
    ["00000000000000000000000000000000:0050", "::"],
    ["00000000000000000000000001000000:0050", "::1"],
    ["0000000000000000FFFF0000070200C0:0050", "192.0.2.7"],
    ["B80D0120000000000000000002000000:0050", "2001:db8::2"],
    ["B80D0120010000000000000000000000:0050", "2001:db8:0:1::"],
    ["B80D0120020001000400030006000500:0050", "2001:db8:1:2:3:4:5:6"],
  ])("parseSocketLine reads the IPv6 address %s", (local, address) => {
    expect(parseSocketLine(line6(local, "0A"), "tcp6")).toEqual({ address, port: 80 });
  });

  test("distinguishes other sockets from lines that are not sockets", () => {
    expect(parseSocketLine(line("0100007F:1F90", "01"), "tcp")).toBe("other");
    expect(parseSocketLine(line("0100007F:1F90", "01"), "udp")).toBe("other");
    expect(parseSocketLine("  sl  local_address rem_address   st", "tcp")).toBeUndefined();
    expect(parseSocketLine("", "tcp")).toBeUndefined();
  });
});

test("readListeners returns the address and port of a listening socket", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    expect(await readListeners()).toContainEqual({
      protocol: PortSpec_Protocol.TCP,
      address: "127.0.0.1",
      port,
    });
  } finally {
    server.close();
  }
});

test("readListeners returns none when the files do not exist", async () => {
  expect(await readListeners("/nonexistent")).toEqual([]);
});

test("readListeners rejects when a file exists but cannot be opened", async () => {
  const directory = mkdtempSync(join(tmpdir(), "berth-listeners-"));
  try {
    symlinkSync("udp", join(directory, "udp"));
    await expect(readListeners(directory)).rejects.toThrow("ELOOP");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

const LISTENER = { protocol: PortSpec_Protocol.TCP, address: "", port: 80 };

test("cachedListeners reads when the counts changed or are unknown, and at every tenth call", async () => {
  let reads = 0;
  let counted = "TCP: inuse 1";
  const look = cachedListeners({
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

test("socketCounts counts a new listening socket", async () => {
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
