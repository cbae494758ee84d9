import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ipv4Text,
  parseIpv4,
  parseSubnet,
  subnetHas,
  subnetSize,
  subnetsOverlap,
  subnetText,
} from "./subnet.js";

const address = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const subnet = fc
  .tuple(address, fc.integer({ min: 0, max: 32 }))
  .map(([at, prefix]) => ({ base: at - (at % subnetSize({ prefix })), prefix }));

describe("addresses and subnets", () => {
  it("addresses and subnets are read as they are written (property)", () => {
    fc.assert(fc.property(address, (each) => parseIpv4(ipv4Text(each)) === each));
    fc.assert(
      fc.property(subnet, (each) => {
        expect(parseSubnet(subnetText(each))).toEqual(each);
      }),
    );
  });

  it("subnets overlap when they have an address in common (property)", () => {
    fc.assert(
      fc.property(subnet, subnet, address, (a, b, each) => {
        if (subnetHas(a, each) && subnetHas(b, each)) expect(subnetsOverlap(a, b)).toBe(true);
        const last = (one: typeof a): number => one.base + subnetSize(one) - 1;
        const areApart = last(a) < b.base || last(b) < a.base;
        expect(subnetsOverlap(a, b)).toBe(!areApart);
      }),
    );
  });

  it.each([
    "",
    "10.0.0.0",
    "10.0.0.1/8",
    "10.0.0.0/33",
    "10.0.0/8",
    "10.0.0.0/8/8",
    "010.0.0.0/8",
    "fd00::/8",
    "256.0.0.0/8",
  ])("%j is no subnet", (text) => {
    expect(parseSubnet(text)).toBeUndefined();
  });
});
