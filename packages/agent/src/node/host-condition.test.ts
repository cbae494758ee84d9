import { expect, test } from "vitest";
import type { Condition } from "./describe-node.js";
import { HostCondition } from "./host-condition.js";

const info = {
  hostname: "h1",
  os: "linux",
  architecture: "x86_64",
  cpus: 2,
  memoryBytes: 1,
  version: "20.10",
  apiVersion: "1.41",
  labels: {},
  enclosure: "",
};

function recorded(): { readonly condition: HostCondition; readonly told: readonly Condition[] } {
  const told: Condition[] = [];
  return { condition: new HostCondition((now) => told.push(now)), told };
}

test("HostCondition tells what is wrong, since when, and that it is over", () => {
  const { condition, told } = recorded();
  for (const engineIs of ["up", "away", "up"]) {
    if (engineIs === "away") condition.engineIsAway("connect ENOENT", new Date(0));
    else condition.engineIsUp(info);
    condition.volumes([]);
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
  condition.engineIsUp(info);
  condition.volumes([]);
  condition.ingressProblems(["8080/tcp is taken"]);
  condition.ingressProblems(["8080/tcp is taken"]);
  condition.engineIsUp({ ...info });
  expect(told.map(({ problems }) => problems)).toEqual([[], [], ["8080/tcp is taken"]]);
});

test("HostCondition counts problems beyond what a description holds", () => {
  const { condition } = recorded();
  condition.ingressProblems(Array.from({ length: 60 }, (_, port) => `port ${port}`));
  expect(condition.now.problems).toHaveLength(51);
  expect(condition.now.problems.at(-1)).toBe("and 10 more");
});

test("HostCondition calls Docker ready once it is known which volumes are here", () => {
  const told: Condition[] = [];
  const condition = new HostCondition((now) => told.push(now));
  condition.volumesUnknown();
  condition.engineIsUp(info);
  condition.volumes(["shop_data"]);
  condition.volumesUnknown();
  expect(told.map(({ engine, volumes }) => [engine?.version, volumes])).toEqual([
    [undefined, []],
    ["20.10", ["shop_data"]],
  ]);
});
