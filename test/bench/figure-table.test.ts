import { expect, it } from "vitest";
import { figureTable } from "./figure-table.js";
import { figureOf, type Report } from "./report.js";

const machine = { cpu: "", cores: 2, memoryBytes: 0, kernel: "", arch: "", node: "", programs: {} };

function reportOf(bench: string, figures: Report["figures"]): Report {
  return { bench, commit: "0123456789ab", machine, figures };
}

it("shows values, peers, missed goals and the commit in one row", () => {
  const goal = { kind: "at-most", value: 1.1 } as const;
  const ratio = figureOf({
    name: "deploy.ratio_to_docker",
    unit: "x",
    goal,
    peer: { swarm: 1.3 },
    runs: [1.2],
  });
  const table = figureTable((bench) => (bench === "deploy" ? reportOf(bench, [ratio]) : undefined));
  const [, , row] = table.split("\n");
  expect(row).toMatch(/\| \*\*1\.2 ×\*\* \| Docker Swarm 1\.3 × \| ≤ 1\.1 ×, missed \| `0123456789ab` \|$/);
});

it("shows the worst of all figures that match a pattern", () => {
  const failed = (name: string, count: number): Report["figures"][number] =>
    figureOf({ name: `failover.${name}_failed_requests`, unit: "requests", runs: [count] });
  const figures = [failed("worker", 0), failed("cable", 3), failed("leader", 1)];
  const table = figureTable((bench) => (bench === "failover" ? reportOf(bench, figures) : undefined));
  expect(table).toContain("| **3** |");
});

it("leaves out the rows of benchmarks that were not run", () => {
  expect(figureTable(() => undefined).split("\n")).toHaveLength(3);
});
