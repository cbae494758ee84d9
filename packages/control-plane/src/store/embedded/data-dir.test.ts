import { expect, test } from "vitest";
import { parseClaim } from "./data-dir.js";

const process = { pid: 5, startTicks: "1", bootId: "b" };

test("parseClaim returns the fields of a claim", () => {
  const claim = {
    owner: process,
    ports: { client: 7_402, peer: 7_403 },
    members: ["10.0.0.1"],
    isJoining: true,
    hasServed: true,
  };
  expect(parseClaim(JSON.stringify(claim))).toEqual(claim);
});

test.each([
  ["a pid that names a process group", { etcd: { ...process, pid: -5 } }],
  ["a start time that is no text", { owner: { ...process, startTicks: 1 } }],
  ["a port that is too large", { ports: { client: 7_402, peer: 70_000 } }],
  ["a list with a number", { members: [1] }],
  ["a text instead of a boolean", { isJoining: "yes" }],
])("parseClaim leaves out %s", (_, claim) => {
  expect(parseClaim(JSON.stringify(claim))).toEqual({});
});

test.each(["", "null", "{"])("parseClaim returns undefined for %j", (text) => {
  expect(parseClaim(text)).toBeUndefined();
});
