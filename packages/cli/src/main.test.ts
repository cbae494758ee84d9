import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import { afterEach, describe, expect, test } from "vitest";
import { run } from "./main.js";
import { fakeCli } from "./testing/fake-cli.js";
import { type FakeControlHandlers, readyNode, startFakeControl } from "./testing/fake-control.js";
import { berth } from "./testing/run-berth.js";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

describe("errors", () => {
  test("prints the message and code of a server error", async () => {
    const message = "no such node: nöde";
    const getNode: FakeControlHandlers["getNode"] = async () => {
      throw new BerthError({ code: "BERTH_NOT_FOUND", message });
    };
    const { code, out, err } = await berth("node inspect nöde", { getNode });
    expect([code, out, err]).toEqual([1, "", `error: ${message}\n(BERTH_NOT_FOUND)\n`]);
    const json = await berth("node inspect nöde -o json", { getNode });
    expect(JSON.parse(json.err)).toEqual({ error: { code: "BERTH_NOT_FOUND", message, details: {} } });
  });

  test("an unreachable server exits with code 3", async () => {
    const cli = fakeCli({ env: { BERTH_SERVER: "unix:/nowhere/x.sock" } });
    expect(await run(["node", "ls"], cli)).toBe(3);
    expect(cli.err()).toContain("cannot connect to the berth server at unix:/nowhere/x.sock");
  });

  test.each([
    "stak",
    "stack depoy",
    "stack deploy x",
    "node ls --nope",
    "node update host-1",
    "node update host-1 --availability off",
    "service scale web",
    "service logs --tail x web",
    "stack deploy -c gone.yaml x",
    "--server nonsense node ls",
    "-o yaml node ls",
  ])("invalid input exits with code 2: %s", async (line) => {
    const { code, out, err } = await berth(line);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatchSnapshot();
  });
});

test("contexts can be created, used and removed", async () => {
  const home = await mkdtemp(join(tmpdir(), "berth-context-"));
  cleanUps.push(() => rm(home, { recursive: true }));
  const server = await startFakeControl({ listNodes: async () => ({ nodes: [readyNode()] }) });
  cleanUps.push(server.close);
  const context = async (line: string): Promise<string> => {
    const cli = fakeCli({ env: { XDG_CONFIG_HOME: home } });
    const code = await run(line.split(" "), cli);
    return `${code} ${cli.out()}${cli.err()}`;
  };
  expect(await context(`context create lab --server ${server.address}`)).toMatch(/^0 Saved context lab/);
  expect(await context("context use lab")).toBe("0 Current context is now lab\n");
  expect(await context("node ls -q")).toBe("0 node1\n");
  expect(await context("context use nope")).toMatch(
    /^2 error: no such context: nope; saved contexts are lab/,
  );
  expect(await context("context rm lab")).toBe("0 Removed context lab\n");
  expect(await context("context ls")).toContain("default *   unix:/nowhere/server.sock");
});
