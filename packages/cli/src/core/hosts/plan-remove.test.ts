import { expect, test } from "vitest";
import { type HostMemberships, planRemove, type RemoveRequest } from "./plan-remove.js";

const request: RemoveRequest = { cluster: "c1", force: false, keepContainers: false };
const RUNNING = { isEnabled: true, isActive: true };
const facts = { berthVersion: "0.2.0", hasLeftovers: false, agent: RUNNING };
const listed = { isReady: true, labels: {} };
const node = { id: "n1", cluster: "c1", listed };
const server = { id: "s1", cluster: "c1", listed };

function kindsOf(
  memberships: Partial<HostMemberships>,
  change: Partial<typeof facts> = {},
  options: Partial<RemoveRequest> = {},
): readonly string[] {
  const plan = planRemove(
    { ...facts, ...change },
    { node: undefined, server: undefined, ...memberships },
    { ...request, ...options },
  );
  return plan.kind === "steps" ? plan.steps.map(({ kind }) => kind) : plan.problems;
}

test("planRemove() drains a node and removes its record before the package", () => {
  expect(kindsOf({ node })).toEqual(["drain", "stop-agent", "remove-node", "purge"]);
  expect(kindsOf({ node, server })).toEqual(["drain", "stop-agent", "remove-node", "remove-server", "purge"]);
});

test("planRemove() continues after an interruption", () => {
  const stopped = { agent: { isEnabled: false, isActive: false } };
  expect(kindsOf({ node: { ...node, listed: { isReady: false, labels: {} } } }, stopped)).toEqual([
    "remove-node",
    "purge",
  ]);
  expect(kindsOf({ node: { ...node, listed: undefined } }, stopped)).toEqual(["purge"]);
  expect(kindsOf({}, { berthVersion: "", hasLeftovers: true })).toEqual(["purge"]);
  expect(kindsOf({}, { berthVersion: "" })).toEqual([]);
});

test("planRemove() does not drain when it is forced to", () => {
  expect(kindsOf({ node }, {}, { force: true })).toEqual(["stop-agent", "remove-node", "purge"]);
});

test("planRemove() refuses a host of another cluster", () => {
  expect(kindsOf({ server: { ...server, cluster: "c2" } })).toMatchInlineSnapshot(`
    [
      "it belongs to the cluster c2, not to c1; run the command with a context of its cluster",
    ]
  `);
});
