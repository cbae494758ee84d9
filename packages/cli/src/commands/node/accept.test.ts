import { Node, NodeState, NodeSummary } from "@berth/proto";
import { expect, test } from "vitest";
import { type FakeControlHandlers, readyNode } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const pending = NodeSummary.fromPartial({
  node: {
    id: "node2",
    availability: 1,
    state: NodeState.DOWN,
    awaitsApproval: true,
    description: { hostname: "host-2" },
  },
});
const listNodes: FakeControlHandlers["listNodes"] = async () => ({ nodes: [pending, readyNode()] });

test("node ls shows and selects nodes that await approval", async () => {
  expect((await berth("node ls", { listNodes })).out).toMatchInlineSnapshot(`
    "ID      HOSTNAME   STATUS                     AVAILABILITY   ADDRESS    TASKS   ENGINE VERSION   BERTH VERSION
    node1   host-1     Ready                      Active         10.0.0.1   2       20.10.24
    node2   host-2     Down (awaiting approval)   Active                    0
    "
  `);
  expect((await berth("node ls -q --filter membership=pending", { listNodes })).out).toBe("node2\n");
  const nodes = JSON.parse((await berth("node ls -o json", { listNodes })).out);
  expect(nodes).toMatchObject([{ membership: "accepted" }, { membership: "pending" }]);
});

test("node inspect --pretty shows how to accept a node", async () => {
  const getNode: FakeControlHandlers["getNode"] = async () => ({ node: pending });
  const { out } = await berth("node inspect --pretty host-2", { getNode });
  expect(out).toMatch(/^Membership: +Pending \(run: berth node accept\)$/m);
});

test("node accept accepts nodes", async () => {
  const acceptNode: FakeControlHandlers["acceptNode"] = async ({ node }) => ({
    node: Node.fromPartial({ id: `id-of-${node}` }),
  });
  expect(await berth("node accept host-2 host-3", { acceptNode })).toEqual({
    code: 0,
    out: "host-2\nhost-3\n",
    err: "",
  });
  const { out } = await berth("node accept host-2 -o json", { acceptNode });
  expect(JSON.parse(out)).toEqual({ accepted: ["id-of-host-2"] });
});
