import { describe, expect, it } from "vitest";
import { proxyHeader } from "./proxy-header.js";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const SIGNATURE = "0d0a0d0a000d0a515549540a";

describe("proxyHeader()", () => {
  it("encodes IPv4 addresses, also those of a dual-stack socket", () => {
    const ends = {
      remoteAddress: "::ffff:192.0.2.7",
      remotePort: 51_000,
      localAddress: "10.0.0.1",
      localPort: 443,
    };
    expect(hex(proxyHeader(ends))).toBe(`${SIGNATURE}2111000cc00002070a000001c73801bb`);
  });

  it("encodes IPv6 addresses", () => {
    const ends = { remoteAddress: "2001:db8::7", remotePort: 1, localAddress: "::1", localPort: 2 };
    const source = "20010db8000000000000000000000007";
    const target = "00000000000000000000000000000001";
    expect(hex(proxyHeader(ends))).toBe(`${SIGNATURE}21210024${source}${target}00010002`);
    const local = { ...ends, remoteAddress: "fe80::1:2%eth0", localAddress: "1:2:3:4:5:6:7:8" };
    expect(hex(proxyHeader(local))).toContain(
      "fe800000000000000000000000010002" + "00010002000300040005000600070008",
    );
  });

  it("sends the LOCAL command when the addresses are unknown", () => {
    expect(hex(proxyHeader(undefined))).toBe(`${SIGNATURE}20000000`);
  });
});
