import { endianness } from "node:os";
import { expect, test } from "vitest";
import { memberKey } from "./service-chain.js";

test("memberKey has the bytes of the number in this host's order, and is its own inverse", () => {
  for (const number of [0, 1, 256, 70_001, 0xf000_0000, 0xffff_ffff]) {
    const bytes = Buffer.alloc(4);
    if (endianness() === "LE") bytes.writeUInt32LE(number);
    else bytes.writeUInt32BE(number);
    expect(memberKey(number)).toBe(bytes.readUInt32BE());
    expect(memberKey(memberKey(number))).toBe(number);
  }
});
