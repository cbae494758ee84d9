import { describe, expect, test } from "vitest";
import { parseSocketLine } from "./proc-sockets.js";

const line = (local: string, state: string): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 20853 1 0000000000000000`;
const line6 = (local: string, state: string): string =>
  `   1: ${local} 00000000000000000000000000000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0 0 1`;

describe("parseSocketLine", () => {
  test.each([
    ["00000000:0050", "0.0.0.0", 80],
    ["0100007F:1F90", "127.0.0.1", 8080],
    ["070200C0:FFFF", "192.0.2.7", 65_535],
  ])("reads %s", (local, address, port) => {
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
  ])("reads %s", (local, address) => {
    expect(parseSocketLine(line6(local, "0A"), "tcp6")).toEqual({ address, port: 80 });
  });

  test("tells other sockets from lines that are none", () => {
    expect(parseSocketLine(line("0100007F:1F90", "01"), "tcp")).toBe("other");
    expect(parseSocketLine(line("0100007F:1F90", "01"), "udp")).toBe("other");
    expect(parseSocketLine("  sl  local_address rem_address   st", "tcp")).toBeUndefined();
    expect(parseSocketLine("", "tcp")).toBeUndefined();
  });
});
