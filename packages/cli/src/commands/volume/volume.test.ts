import { ListVolumesResponse, PruneVolumesResponse } from "@berth/proto";
import { expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const listVolumes: FakeControlHandlers["listVolumes"] = async ({ name }) =>
  ListVolumesResponse.fromPartial({
    nodes: [
      { nodeId: "n1", hostname: "host-1", volumes: name === "data" ? [{ name }] : [] },
      { nodeId: "n2", hostname: "host-2", error: "the node is not connected" },
    ],
  });

test("volume rm prints the removed volumes with their nodes as JSON", async () => {
  const removeVolumes = async () => ({ removed: ["data"], error: "" });
  const { out, code } = await berth("volume rm -o json data", { listVolumes, removeVolumes });
  expect(code).toBe(0);
  expect(JSON.parse(out)).toEqual({ removed: [{ node: "host-1", name: "data" }] });
});

test("volume rm warns about nodes whose volumes are not known", async () => {
  const { err, code } = await berth("volume rm cache", { listVolumes });
  expect(code).toBe(1);
  expect(err).toContain("host-2: the node is not connected");
  expect(err).toContain("no such volume on any node: cache");
});

test("volume prune -o json fails when every node fails", async () => {
  const nodes = [{ nodeId: "n1", hostname: "host-1", error: "no response" }];
  const pruneVolumes = async () => PruneVolumesResponse.fromPartial({ nodes });
  const { out, err, code } = await berth("volume prune --force -o json", { pruneVolumes });
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchObject([{ hostname: "host-1", error: "no response" }]);
  expect(err).toContain("every node failed");
});
