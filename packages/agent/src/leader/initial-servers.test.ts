import { expect, test } from "vitest";
import { initialServers } from "./initial-servers.js";

test("initialServers tries the configured servers first, and then those of an earlier run", () => {
  expect(initialServers({ configured: ["a:1"], saved: ["b:1", "a:1"] })).toEqual(["a:1", "b:1"]);
  expect(initialServers({ configured: [], saved: ["b:1"] })).toEqual(["b:1"]);
});

test("initialServers asks for --server when no server is known", () => {
  expect(() => initialServers({ configured: [], saved: [] })).toThrow("pass --server HOST:PORT");
});
