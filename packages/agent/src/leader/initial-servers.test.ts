import { expect, test } from "vitest";
import { initialServers } from "./initial-servers.js";

test("initialServers tries the configured servers first, and then those of an earlier run", () => {
  const known = { configured: ["a:1"], saved: ["b:1", "a:1"] };
  expect(initialServers({ ...known, hasJoined: false })).toEqual(["a:1", "b:1"]);
  expect(initialServers({ ...known, hasJoined: true })).toEqual(["a:1", "b:1"]);
});

test("initialServers tries a server on the same host only when the host has not joined a cluster", () => {
  expect(initialServers({ configured: [], saved: ["b:1"], hasJoined: false })).toEqual([
    "127.0.0.1:7400",
    "b:1",
  ]);
  expect(initialServers({ configured: [], saved: ["b:1"], hasJoined: true })).toEqual(["b:1"]);
  expect(() => initialServers({ configured: [], saved: [], hasJoined: true })).toThrow("pass --server");
});
