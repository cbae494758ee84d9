import { expect, test } from "vitest";
import { canonicalIp, hostAddressProblem, isLoopback } from "./host-address.js";

test.each([
  ["10.0.0.1", undefined],
  ["203.0.113.7", undefined],
  ["2001:db8::1", undefined],
  ["fd00::1", undefined],
  ["127.0.0.1", undefined],
  ["::1", undefined],
  ["", "is not an IP address"],
  ["node1", "is not an IP address"],
  ["10.0.0.1\n", "is not an IP address"],
  ["10.0.0.1 via lo", "is not an IP address"],
  ["10.0.0.01", "is not an IP address"],
  ["fe80::1%eth0", "is not an IP address"],
  ["::ffff:127.0.0.1", "is not an IP address"],
  ["0.0.0.0", "is not a host address"],
  ["::", "is not a host address"],
  ["255.255.255.255", "is not a host address"],
  ["224.0.0.1", "is a multicast address"],
  ["ff02::1", "is a multicast address"],
  ["169.254.1.1", "is a link-local address"],
  ["fe80::1", "is a link-local address"],
  ["2001:DB8:0::1", "is not written as 2001:db8::1"],
])("hostAddressProblem(%j) returns %j", (text, problem) => {
  expect(hostAddressProblem(text)).toBe(problem);
});

test("canonicalIp returns the same text for each spelling of an address", () => {
  expect(canonicalIp("2001:DB8:0:0::1")).toBe("2001:db8::1");
  expect(canonicalIp("10.0.0.1")).toBe("10.0.0.1");
  expect(canonicalIp("10.0.0.1\n")).toBeUndefined();
});

test("isLoopback knows the loopback addresses of both families", () => {
  expect(["127.0.0.1", "127.77.0.9", "::1"].map(isLoopback)).toEqual([true, true, true]);
  expect(["10.0.0.1", "::2", "", "localhost"].map(isLoopback)).toEqual([false, false, false, false]);
});
