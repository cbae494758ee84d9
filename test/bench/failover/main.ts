// The power of a worker's host is cut: how long until its replicas run on the other hosts, and how many requests to a
// surviving host's published port fail meanwhile. Docker Swarm runs on the same hosts and loses one in turn. Its
// routing mesh needs IPVS, which such a lab cannot promise, so that its requests are not counted.
import { type Arena, withArena } from "../arena.js";
import { berthLabel } from "../berth-stack.js";
import { swarmLabel } from "../peer/swarm.js";
import { type Figure, figureOf, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { untilGone } from "../running-watch.js";
import { type BerthLoss, loseBerthWorker, loseSwarmWorker, STACK } from "./losses.js";
import { describeTraffic, failuresOf, slowestMsOf } from "./traffic.js";
import type { WorkerLoss } from "./worker-loss.js";

/** So that the host that is lost need not be the leader, and the rest can still decide. */
const SWARM_MANAGERS = 3;
const GONE_TIMEOUT_MS = 120_000;
/** Three seconds of silence before a host is given up, and starting the replicas. */
const WORKER_GOAL_S = 5;

interface Round {
  readonly berth: BerthLoss;
  readonly swarm: WorkerLoss;
}

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  return withArena({ tag: "f", swarmManagers: SWARM_MANAGERS }, context, async (arena) => {
    const rounds: Round[] = [];
    for (let run = 1; run <= arena.runs; run += 1) {
      const berth = await loseBerthWorker(arena);
      arena.progress(
        `run ${run} berth ${describeLoss(berth)}; ${describeTraffic(berth.requests, berth.cutByMs)}`,
      );
      await restore(arena);
      const swarm = await loseSwarmWorker(arena);
      arena.progress(`run ${run} swarm ${describeLoss(swarm)}`);
      await restore(arena);
      rounds.push({ berth, swarm });
    }
    return figuresOf(rounds);
  });
}

/** Switches what was lost on again, and waits until nothing is left of the last run. */
async function restore({ lab, apis, stacks, swarm, signal }: Arena): Promise<void> {
  for (const host of lab.hosts) if (!host.isUp) await host.start(signal);
  await Promise.all([stacks.untilReady(signal), swarm.untilReady(signal)]);
  for (const label of [berthLabel(STACK), swarmLabel(STACK)]) {
    await untilGone(apis, label, { timeoutMs: GONE_TIMEOUT_MS, signal });
  }
}

function describeLoss({ firstReplacementS, allReplacedS }: WorkerLoss): string {
  return `${allReplacedS.toFixed(2)} s (first replacement after ${firstReplacementS.toFixed(2)} s)`;
}

function figuresOf(rounds: readonly Round[]): Figure[] {
  const seconds = (name: string, what: "allReplacedS" | "firstReplacementS"): Omit<Figure, "value"> => ({
    name,
    unit: "s",
    peer: { swarm: median(rounds.map(({ swarm }) => swarm[what])) },
    runs: rounds.map(({ berth }) => berth[what]),
  });
  const failures = rounds.map(({ berth }) => failuresOf(berth.requests, berth.cutByMs));
  return [
    figureOf({
      ...seconds("failover.worker_s", "allReplacedS"),
      goal: { kind: "at-most", value: WORKER_GOAL_S },
    }),
    figureOf(seconds("failover.first_replacement_s", "firstReplacementS")),
    figureOf({
      name: "failover.ratio_to_swarm",
      unit: "x",
      runs: rounds.map(({ berth, swarm }) => berth.allReplacedS / swarm.allReplacedS),
    }),
    figureOf({
      name: "failover.failed_requests",
      unit: "requests",
      goal: { kind: "at-most", value: 0 },
      runs: failures.map(({ afterCut }) => afterCut.length),
    }),
    figureOf({
      name: "failover.severed_requests",
      unit: "requests",
      runs: failures.map(({ severed }) => severed.length),
    }),
    figureOf({
      name: "failover.slowest_request_ms",
      unit: "ms",
      runs: rounds.map(({ berth }) => slowestMsOf(berth.requests)),
    }),
  ];
}

process.exitCode = await runBench(
  {
    name: "failover",
    programs: { docker: ["dockerd", "--version"], etcd: ["etcd", "--version"] },
    measure,
  },
  process.argv.slice(2),
);
