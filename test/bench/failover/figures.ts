import { failuresOf } from "../load-report.js";
import { type Figure, figureOf, median, worstOf } from "../report.js";
import type { BerthRun } from "./berth-runs.js";
import type { LossTimes } from "./lose-host.js";
import type { HostLoss, Scenario } from "./scenarios.js";

/** Goals for the time until all replicas run again, in seconds. */
const GOALS_S: Readonly<Record<HostLoss["name"], number | undefined>> = { worker: 2, cable: 2, leader: 5 };

export interface Results {
  readonly scenarios: readonly Scenario[];
  readonly berth: readonly BerthRun[];
  readonly swarm: ReadonlyMap<HostLoss["name"], readonly LossTimes[]>;
}

export function figuresOf(results: Results): readonly Figure[] {
  const losses = results.scenarios.filter((scenario) => scenario.kind === "loss");
  return [
    ...losses.flatMap(({ name }) => timesOf(results, name)),
    ...ratioOf(results),
    falseDeaths(results),
    ...results.scenarios.flatMap((scenario) => requestsOf(results, scenario)),
  ];
}

function timesOf({ berth, swarm }: Results, name: HostLoss["name"]): Figure[] {
  const own = secondsOf(timesIn(berth, name));
  const peers = secondsOf(swarm.get(name) ?? []);
  const goal = GOALS_S[name];
  return [
    figureOf({
      name: `failover.${name}_s`,
      unit: "s",
      ...(goal !== undefined && { goal: { kind: "at-most", value: goal } }),
      ...(peers.length > 0 && { peer: { swarm: median(peers) } }),
      runs: own,
    }),
    worstOf({
      name: `failover.${name}_worst_s`,
      unit: "s",
      ...(peers.length > 0 && { peer: { swarm: Math.max(...peers) } }),
      runs: own,
    }),
  ];
}

function ratioOf({ berth, swarm }: Results): Figure[] {
  const peers = secondsOf(swarm.get("worker") ?? []);
  if (peers.length === 0) return [];
  const own = secondsOf(timesIn(berth, "worker"));
  return [
    figureOf({
      name: "failover.ratio_to_swarm",
      unit: "x",
      runs: own.map((seconds) => seconds / median(peers)),
    }),
  ];
}

/** Returns the number of replicas that were started although none was lost, over all scenarios of a run. */
function falseDeaths({ berth, scenarios }: Results): Figure {
  const perScenario = scenarios.map(({ name }) => berth.filter(({ scenario }) => scenario === name));
  const runs = (perScenario[0] ?? []).map((_, index) =>
    perScenario.reduce((sum, each) => sum + (each[index]?.wrongStarts ?? 0), 0),
  );
  return worstOf({
    name: "failover.false_deaths",
    unit: "replicas",
    goal: { kind: "at-most", value: 0 },
    runs,
  });
}

function requestsOf({ berth }: Results, { kind, name }: Scenario): Figure[] {
  const runs = berth.filter(({ scenario }) => scenario === name);
  const failures = runs.map(({ requests, severedAtMs }) => failuresOf(requests, severedAtMs));
  const failedFigure = worstOf({
    name: `failover.${name}_failed_requests`,
    unit: "requests",
    goal: { kind: "at-most", value: 0 },
    runs: failures.map(({ failed }) => failed.length),
  });
  if (kind === "false-alarm") return [failedFigure];
  const severed = failures.map((each) => each.severed.length);
  return [
    failedFigure,
    worstOf({ name: `failover.${name}_severed_requests`, unit: "requests", runs: severed }),
  ];
}

function timesIn(runs: readonly BerthRun[], name: HostLoss["name"]): readonly LossTimes[] {
  return runs.flatMap(({ scenario, times }) => (scenario === name && times !== undefined ? [times] : []));
}

function secondsOf(times: readonly LossTimes[]): readonly number[] {
  return times.map(({ allReplacedS }) => allReplacedS);
}
