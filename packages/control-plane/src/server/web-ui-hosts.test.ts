import { expect, test } from "vitest";
import { isDnsName, webUiHosts } from "./web-ui-hosts.js";

test("webUiHosts() returns the advertised host, the hostname and further names once", () => {
  const options = { hostname: "H1", names: ["berth.example.com", "h1"] };
  expect(webUiHosts({ ...options, advertise: "10.0.0.1:7400" })).toEqual([
    "10.0.0.1",
    "h1",
    "berth.example.com",
  ]);
  expect(webUiHosts({ ...options, advertise: "[fd00::1]:7400" })[0]).toBe("fd00::1");
});

test("webUiHosts() leaves out a hostname that a certificate cannot have", () => {
  expect(webUiHosts({ advertise: "10.0.0.1:7400", hostname: "my_host", names: [] })).toEqual(["10.0.0.1"]);
});

test.each([
  ["berth.example.com", true],
  ["h1", true],
  ["", false],
  ["-h1", false],
  ["*.example.com", false],
  ["a".repeat(64), false],
])("isDnsName(%j) is %s", (text, expected) => {
  expect(isDnsName(text)).toBe(expected);
});
