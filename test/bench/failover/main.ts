// A stack loses a host in several ways while it serves, and is scared in others that cost it nothing: how long until
// its replicas run elsewhere, how many are started for no reason, and how many requests fail. Docker Swarm loses hosts
// of the same lab in turn. Its routing mesh needs IPVS, which such a lab cannot promise, so that its requests are not
// counted.
import { type Arena, withArena } from "../arena.js";
import { berthLabel } from "../berth-stack.js";
import { swarmLabel } from "../peer/swarm.js";
import type { Figure } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { untilGone } from "../running-watch.js";
import { type BerthRun, runOnBerth, STACK } from "./berth-runs.js";
import { figuresOf } from "./figures.js";
import type { LossTimes } from "./lose-host.js";
import { type Loss, SCENARIOS, scenariosIn } from "./scenario.js";
import { loseOnSwarm } from "./swarm-runs.js";
import { describeTraffic } from "./traffic.js";

/** Of berth's servers and of Swarm's managers: any host may be lost, and the rest can still decide. */
const SERVERS = 3;
/** Each takes Swarm two minutes, and comes out much the same. */
const DEFAULT_PEER_RUNS = 2;
const GONE_TIMEOUT_MS = 120_000;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const scenarios = scenariosIn(context.options.scenario);
  const peerRuns = Number(context.options["peer-runs"] ?? Math.min(DEFAULT_PEER_RUNS, context.runs));
  if (!(Number.isInteger(peerRuns) && peerRuns >= 0 && peerRuns <= context.runs)) {
    throw new Error(`--peer-runs takes 0 to --runs, not "${context.options["peer-runs"]}"`);
  }
  const losses = scenarios.filter((scenario) => scenario.kind === "loss");
  return withArena({ tag: "f", swarmManagers: SERVERS, servers: SERVERS }, context, async (arena) => {
    const berth: BerthRun[] = [];
    const swarm = new Map<Loss["name"], LossTimes[]>();
    for (let run = 1; run <= arena.runs; run += 1) {
      for (const scenario of scenarios) {
        const result = await runOnBerth(arena, scenario);
        arena.progress(`run ${run} berth, ${scenario.what}: ${describe(result)}`);
        berth.push(result);
        await restore(arena);
      }
      if (run > peerRuns || losses.length === 0) continue;
      await arena.stacks.remove(STACK, arena.signal);
      for (const loss of losses) {
        await untilClear(arena);
        const times = await loseOnSwarm(arena, loss);
        arena.progress(`run ${run} swarm, ${loss.what}: ${describeTimes(times)}`);
        swarm.set(loss.name, [...(swarm.get(loss.name) ?? []), times]);
        await restore(arena);
      }
      await untilClear(arena);
    }
    return figuresOf({ scenarios, berth, swarm });
  });
}

/** Gives back what was taken, and waits until all of it takes part again. */
async function restore({ lab, stacks, swarm, signal }: Arena): Promise<void> {
  await Promise.all(
    lab.hosts.map(async (host) => {
      if (!host.isUp) await host.start(signal);
      else if (await host.isPartitioned()) await host.heal();
    }),
  );
  await Promise.all(lab.servers.map((server) => server.untilHealthy(signal)));
  await Promise.all([stacks.untilReady(signal), swarm.untilReady(signal)]);
}

/** Waits until nothing of earlier runs is left on any host. */
async function untilClear({ apis, signal }: Arena): Promise<void> {
  for (const label of [berthLabel(STACK), swarmLabel(STACK)]) {
    await untilGone(apis, label, { timeoutMs: GONE_TIMEOUT_MS, signal });
  }
}

function describe({ times, wrongStarts, requests, excusedUntilMs }: BerthRun): string {
  const parts = [
    ...(times === undefined ? [] : [describeTimes(times)]),
    `${wrongStarts} wrong replacements`,
    describeTraffic(requests, excusedUntilMs),
  ];
  return parts.join("; ");
}

function describeTimes({ firstReplacementS, allReplacedS }: LossTimes): string {
  return `${allReplacedS.toFixed(2)} s (first replacement after ${firstReplacementS.toFixed(2)} s)`;
}

process.exitCode = await runBench(
  {
    name: "failover",
    programs: { docker: ["dockerd", "--version"], etcd: ["etcd", "--version"] },
    options: { scenario: SCENARIOS.map(({ name }) => name).join(","), "peer-runs": "N" },
    measure,
  },
  process.argv.slice(2),
);
