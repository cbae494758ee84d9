import { BerthError, type GetClusterResponse } from "@berth/proto";
import { expect, test } from "vitest";
import { berth } from "../../testing/run-berth.js";

const cluster = (schemaVersion: number): GetClusterResponse => ({
  serverVersion: "1",
  protocolVersion: 2,
  oldestProtocolVersion: 1,
  leaderAddress: "10.0.0.1:7400",
  epoch: 1,
  servers: [],
  nowMs: 1,
  schemaVersion,
  supportedSchemaVersion: 2,
});

test("upgrade finalize raises the schema and waits through the election until the records are migrated", async () => {
  const answers = [
    () => cluster(1),
    () => {
      throw new BerthError({ code: "BERTH_NO_LEADER", message: "no leader" });
    },
    () => cluster(2),
  ];
  const { code, out } = await berth("upgrade finalize", {
    finalizeUpgrade: async () => ({ from: 1, to: 2 }),
    getCluster: async () => (answers.shift() ?? (() => cluster(2)))(),
  });
  expect(code).toBe(0);
  expect(out).toMatchInlineSnapshot(`
    "Raised the schema from 1 to 2; the next leader migrates the records
    Finalized: all records have schema 2
    "
  `);
  expect(answers).toEqual([]);
});

test("upgrade finalize does nothing when the schema is current", async () => {
  const handlers = { finalizeUpgrade: async () => ({ from: 1, to: 1 }) };
  const { code, out } = await berth("upgrade finalize", handlers);
  expect([code, out]).toEqual([0, "Nothing to do: the records have schema 1, the newest of this release\n"]);
  expect(JSON.parse((await berth("upgrade finalize -o json", handlers)).out)).toEqual({ from: 1, to: 1 });
});

test("upgrade finalize fails when a leader does not serve the new schema in time", async () => {
  const { code, err } = await berth("upgrade finalize --timeout 1s", {
    finalizeUpgrade: async () => ({ from: 1, to: 2 }),
    getCluster: async () => cluster(1),
  });
  expect(code).toBe(1);
  expect(err).toContain("no leader serves records of schema 2 after 1 s");
});
