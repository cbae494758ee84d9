import { expect, test } from "vitest";
import { parseServerAddresses, socketPathOf } from "./addresses.js";

test.each([
  ["10.0.0.1:7400, [::1]:7400", "10.0.0.1:7400,[::1]:7400"],
  ["unix:/run/berth/server.sock", "unix:/run/berth/server.sock"],
  ["unix:///run/berth/server.sock,host:1", "unix:/run/berth/server.sock,host:1"],
])("parseServerAddresses accepts %s", (list, normalized) => {
  expect(parseServerAddresses(list)).toBe(normalized);
});

test.each([
  "",
  "host",
  "host:0",
  "host:65536",
  "unix:",
  "unix:/",
  "unix:relative",
  `unix:/${"x".repeat(107)}`,
])("parseServerAddresses rejects %j", (list) => {
  expect(() => parseServerAddresses(list)).toThrow(/invalid server address .* use HOST:PORT/);
});

test("socketPathOf returns the path of unix addresses only", () => {
  expect(socketPathOf("unix:/run/x")).toBe("/run/x");
  expect(socketPathOf("unix:1")).toBe("1");
  expect(socketPathOf("host:1")).toBeUndefined();
});
