import { expect, test } from "vitest";
import { type ConditionSnapshot, HostCondition } from "./node-description.js";

const info = {
  hostname: "h1",
  os: "linux",
  architecture: "x86_64",
  cpus: 2,
  memoryBytes: 1,
  version: "20.10",
  apiVersion: "1.41",
  labels: {},
  isolation: "",
  containerRoot: { uid: 0, gid: 0 },
};

function recorded(): { readonly condition: HostCondition; readonly snapshots: readonly ConditionSnapshot[] } {
  const snapshots: ConditionSnapshot[] = [];
  return { condition: new HostCondition((snapshot) => snapshots.push(snapshot)), snapshots };
}

test("HostCondition reports the reason and time of an outage, and its end", () => {
  const { condition, snapshots } = recorded();
  for (const state of ["connected", "disconnected", "connected"]) {
    if (state === "disconnected") {
      condition.engineDisconnected("connect ENOENT", new Date(0));
    } else {
      condition.engineConnected(info);
    }
    condition.setVolumes([]);
  }
  expect(snapshots.map(({ engine, problems }) => [engine?.version, problems])).toEqual([
    [undefined, []],
    ["20.10", []],
    [undefined, ["Docker has not responded since 1970-01-01T00:00:00.000Z: connect ENOENT"]],
    [undefined, []],
    ["20.10", []],
  ]);
});

test("HostCondition reports that Docker cannot publish ports until a container has published some", () => {
  const { condition, snapshots } = recorded();
  for (const problem of ["its firewall rules are gone", "its firewall rules are gone", "", ""]) {
    condition.setPublishingProblem(problem);
  }
  condition.setPublishingProblem("its firewall rules are gone");
  condition.engineConnected(info);
  condition.setVolumes([]);
  expect(snapshots.map(({ problems }) => problems)).toEqual([
    ["its firewall rules are gone"],
    [],
    ["its firewall rules are gone"],
    [],
    [],
  ]);
});

test("HostCondition reports nothing when nothing has changed", () => {
  const { condition, snapshots } = recorded();
  condition.engineConnected(info);
  condition.setVolumes([]);
  condition.setIngressProblems(["8080/tcp is taken"]);
  condition.setIngressProblems(["8080/tcp is taken"]);
  condition.engineConnected({ ...info });
  expect(snapshots.map(({ problems }) => problems)).toEqual([[], [], ["8080/tcp is taken"]]);
});

test("HostCondition limits the number of problems, and counts the others", () => {
  const { condition } = recorded();
  condition.setIngressProblems(Array.from({ length: 60 }, (_, port) => `port ${port}`));
  expect(condition.snapshot.problems).toHaveLength(51);
  expect(condition.snapshot.problems.at(-1)).toBe("and 10 more");
});

test("HostCondition reports dockerd as ready once its volumes are known", () => {
  const snapshots: ConditionSnapshot[] = [];
  const condition = new HostCondition((snapshot) => snapshots.push(snapshot));
  condition.setVolumesUnknown();
  condition.engineConnected(info);
  condition.setVolumes(["shop_data"]);
  condition.setVolumesUnknown();
  expect(snapshots.map(({ engine, volumes }) => [engine?.version, volumes])).toEqual([
    [undefined, []],
    ["20.10", ["shop_data"]],
  ]);
});
