import { BERTH_VERSION, BerthError } from "@berth/proto";
import { expect, test } from "vitest";
import { berth } from "../../testing/run-berth.js";

test("version prints the client's version and why the server does not respond", async () => {
  const getCluster = async () => {
    throw new BerthError({ code: "BERTH_NO_LEADER", message: "the servers are electing a leader" });
  };
  const { code, out } = await berth("version", { getCluster });
  expect(code).toBe(0);
  expect(out).toMatch(`Client: ${BERTH_VERSION} `);
  expect(out).toContain("\nServer: the servers are electing a leader\n");
});

test("version prints both protocols and the schema that can be raised", async () => {
  const getCluster = async () => ({
    serverVersion: "0.3.0",
    protocolVersion: 3,
    oldestProtocolVersion: 2,
    leaderAddress: "10.0.0.1:7400",
    epoch: 1,
    servers: [],
    nowMs: 1,
    schemaVersion: 1,
    supportedSchemaVersion: 2,
  });
  const { out } = await berth("version", { getCluster });
  expect(out).toContain("(protocol 1 to 2)\n");
  expect(out).toMatch(/^Server: 0\.3\.0 \(protocol 2 to 3\) at .*, leader 10\.0\.0\.1:7400$/m);
  expect(out).toContain(
    'Schema: 1; all servers support 2: complete the upgrade with "berth upgrade finalize"\n',
  );
});

test("version prints the client's version without the identity that the server needs", async () => {
  const address = "10.0.0.1:7400";
  const { code, out } = await berth("version", {}, { env: { BERTH_SERVER: address } });
  expect(code).toBe(0);
  expect(out).toContain(`\nServer: cannot connect to ${address} without an identity`);
  const json = await berth(`version --server ${address} -o json`);
  expect(JSON.parse(json.out).server).toEqual({ error: expect.stringContaining("without an identity") });
});
