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
