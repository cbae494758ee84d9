import { expect, test } from "vitest";
import { readyNode } from "../../testing/fake-control.js";
import { destinationOf } from "./rm.js";

test.each([
  ["host-1", "root@10.0.0.1"],
  ["node1", "root@10.0.0.1"],
  ["root@host-1", "root@host-1"],
  ["an-alias-of-ssh", "an-alias-of-ssh"],
])("berth host rm %s connects to %s", (host, expected) => {
  expect(destinationOf(host, { nodes: [readyNode()] })).toBe(expected);
});
