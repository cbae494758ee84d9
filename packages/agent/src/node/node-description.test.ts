import { expect, test } from "vitest";
import type { ConditionSnapshot } from "./describe-node.js";
import { HostCondition } from "./node-description.js";

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
};

function recorded(): { readonly condition: HostCondition; readonly told: readonly ConditionSnapshot[] } {
  const told: ConditionSnapshot[] = [];
  return { condition: new HostCondition((now) => told.push(now)), told };
}

test("HostCondition tells what is wrong, since when, and that it is over", () => {
  const { condition, told } = recorded();
  for (const engineIs of ["up", "away", "up"]) {
    if (engineIs === "away") condition.engineDisconnected("connect ENOENT", new Date(0));
    else condition.engineConnected(info);
    condition.setVolumes([]);
  }
  expect(told.map(({ engine, problems }) => [engine?.version, problems])).toEqual([
    [undefined, []],
    ["20.10", []],
    [undefined, ["Docker does not answer, since 1970-01-01T00:00:00.000Z: connect ENOENT"]],
    [undefined, []],
    ["20.10", []],
  ]);
});

test("HostCondition reports that Docker cannot publish ports until a container has published some", () => {
  const { condition, told } = recorded();
  for (const problem of ["its firewall rules are gone", "its firewall rules are gone", "", ""]) {
    condition.portPublishing(problem);
  }
  condition.portPublishing("its firewall rules are gone");
  condition.engineIsUp(info);
  condition.volumes([]);
  expect(told.map(({ problems }) => problems)).toEqual([
    ["its firewall rules are gone"],
    [],
    ["its firewall rules are gone"],
    [],
    [],
  ]);
});

test("HostCondition says nothing when nothing has changed", () => {
  const { condition, told } = recorded();
  condition.engineConnected(info);
  condition.setVolumes([]);
  condition.setIngressProblems(["8080/tcp is taken"]);
  condition.setIngressProblems(["8080/tcp is taken"]);
  condition.engineConnected({ ...info });
  expect(told.map(({ problems }) => problems)).toEqual([[], [], ["8080/tcp is taken"]]);
});

test("HostCondition counts problems beyond what a description holds", () => {
  const { condition } = recorded();
  condition.setIngressProblems(Array.from({ length: 60 }, (_, port) => `port ${port}`));
  expect(condition.snapshot.problems).toHaveLength(51);
  expect(condition.snapshot.problems.at(-1)).toBe("and 10 more");
});

test("HostCondition calls Docker ready once it is known which volumes are here", () => {
  const told: ConditionSnapshot[] = [];
  const condition = new HostCondition((now) => told.push(now));
  condition.setVolumesUnknown();
  condition.engineConnected(info);
  condition.setVolumes(["shop_data"]);
  condition.setVolumesUnknown();
  expect(told.map(({ engine, volumes }) => [engine?.version, volumes])).toEqual([
    [undefined, []],
    ["20.10", ["shop_data"]],
  ]);
});
