import { readFile } from "node:fs/promises";
import { PortSpec_Protocol } from "@berth/proto";
import { expect, test } from "vitest";
import { readField, readString } from "./json.js";
import { TASK_LABEL } from "./labels.js";
import { parseInspect, parseSummary, type TaskIdOf } from "./observed-container.js";

const FIXTURES = new URL("../../../../../test/fixtures/inspect/", import.meta.url);
const claimedTaskId: TaskIdOf = (labels) => readString(readField(labels, TASK_LABEL));

const inspected = async (name: string): Promise<ReturnType<typeof parseInspect>> =>
  parseInspect(JSON.parse(await readFile(new URL(`${name}.json`, FIXTURES), "utf8")), claimedTaskId);

test("parseInspect reads a healthy container with a published port", async () => {
  expect(await inspected("running-healthy")).toMatchObject({
    name: "a1",
    taskId: "t1",
    state: "running",
    health: "healthy",
    ports: [{ protocol: PortSpec_Protocol.TCP, target: 8080, hostPort: 32768, hostIp: "127.0.0.1" }],
    tty: false,
    processId: 163,
    startedAt: expect.stringMatching(/^20\d\d-.*\d$/),
    stopGraceMs: 10_000,
    resources: [],
    atMostOne: false,
  });
});

test("parseInspect reads exit codes and start errors", async () => {
  expect(await inspected("exited-3")).toMatchObject({
    state: "exited",
    exitCode: 3,
    health: "none",
    ports: [],
  });
  expect(await inspected("out-of-memory")).toMatchObject({
    state: "exited",
    exitCode: 137,
    outOfMemory: true,
  });
  expect(await inspected("created")).toMatchObject({ state: "created", error: "" });
  const failed = await inspected("no-such-program");
  expect(failed.state).toBe("created");
  expect(failed.error).toContain("executable file not found");
  expect((await inspected("port-taken")).error).toContain("port is already allocated");
  expect(await inspected("running-unhealthy")).toMatchObject({ state: "running", health: "unhealthy" });
});

test("parseInspect never throws", () => {
  for (const json of [
    undefined,
    null,
    3,
    "x",
    [],
    {},
    { State: [], Config: 7, NetworkSettings: { Ports: { "": 1 } } },
  ]) {
    expect(parseInspect(json, claimedTaskId)).toMatchObject({ id: "", state: "dead" });
  }
});

test("parseInspect leaves out ports and subnets that cannot exist", () => {
  const binding = (HostPort: unknown) => [{ HostIp: "", HostPort }];
  const Ports = { "80/tcp": binding("99999"), "x/tcp": binding("80"), "53/udp": binding("53") };
  const Networks = {
    a: { IPAddress: "10.0.0.2", IPPrefixLen: 33 },
    b: { IPAddress: "10.0.0.2", IPPrefixLen: 24 },
  };
  const { ports, networks } = parseInspect({ NetworkSettings: { Ports, Networks } }, claimedTaskId);
  expect(ports.map(({ target }) => target)).toEqual([53]);
  expect(networks.map(({ subnet }) => subnet)).toEqual(["", "10.0.0.0/24"]);
});

test("parseSummary reads the health from a listing's display text", () => {
  const healthOf = (Status: string): string =>
    parseSummary({ Id: "i", State: "running", Status }, claimedTaskId).health;
  expect(healthOf("Up 4 seconds (health: starting)")).toBe("starting");
  expect(healthOf("Up 2 hours (healthy)")).toBe("healthy");
  expect(healthOf("Up 2 hours (unhealthy)")).toBe("unhealthy");
  expect(healthOf("Up 2 hours")).toBe("none");
});

test("parseSummary passes the container's own name, not the name of a link, to the check of the owner", () => {
  const nameOf = (Names: unknown): string =>
    parseSummary({ Id: "i", State: "running", Names }, (_, name) => name).taskId;
  expect(nameOf(["/other/db", "/web"])).toBe("web");
  expect(nameOf(["/web"])).toBe("web");
  expect(nameOf(undefined)).toBe("");
});
