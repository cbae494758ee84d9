// `npm run bench -- failover`: measures how long it takes until the replicas of a lost host run on other hosts, how
// many replicas are replaced although no host was lost, and how many requests fail. Docker Swarm loses hosts of the
// same lab in turn. Requests to Swarm are not counted, because its routing mesh needs IPVS, which a lab may lack.
import { type BerthLab, withBerthLab } from "../bench-lab.js";
import { berthLabel } from "../berth-stack.js";
import { removeAll, waitUntilGone } from "../container-watch.js";
import { describeLoad } from "../load-report.js";
import { swarmLabel } from "../peer/swarm.js";
import type { Figure } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { type BerthRun, runOnBerth, SERVERS, STACK } from "./berth-runs.js";
import { figuresOf } from "./figures.js";
import type { LossTimes } from "./lose-host.js";
import { type HostLoss, parseScenarios, SCENARIOS } from "./scenarios.js";
import { loseOnSwarm } from "./swarm-runs.js";

/** Default number of runs on Swarm. A loss takes two minutes to measure, and the results hardly vary. */
const DEFAULT_PEER_RUNS = 2;
const SMOKE_SCENARIOS = "worker,agent_killed";
const GONE_TIMEOUT_MS = 120_000;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const { isSmoke, options } = context;
  const scenarios = parseScenarios(options.scenario ?? (isSmoke ? SMOKE_SCENARIOS : undefined));
  const defaultPeerRuns = isSmoke ? 0 : Math.min(DEFAULT_PEER_RUNS, context.runs);
  const peerRuns = Number(options["peer-runs"] ?? defaultPeerRuns);
  if (!(Number.isInteger(peerRuns) && peerRuns >= 0 && peerRuns <= context.runs)) {
    throw new Error(`invalid --peer-runs "${options["peer-runs"]}"; use 0 to the value of --runs`);
  }
  const losses = scenarios.filter((scenario) => scenario.kind === "loss");
  return withBerthLab({ tag: "f", servers: SERVERS }, context, async (berthLab) => {
    const berth: BerthRun[] = [];
    const swarm = new Map<HostLoss["name"], LossTimes[]>();
    for (let run = 1; run <= berthLab.runs; run += 1) {
      for (const scenario of scenarios) {
        const result = await runOnBerth(berthLab, scenario);
        berthLab.progress(`run ${run} berth, ${scenario.what}: ${describe(result)}`);
        berth.push(result);
        await restore(berthLab);
      }
      if (run > peerRuns || losses.length === 0) continue;
      await berthLab.stacks.remove(STACK, berthLab.signal);
      await waitUntilGone(berthLab.apis, berthLabel(STACK), {
        timeoutMs: GONE_TIMEOUT_MS,
        signal: berthLab.signal,
      });
      for (const loss of losses) {
        const times = await loseOnSwarm(berthLab, loss);
        berthLab.progress(`run ${run} swarm, ${loss.what}: ${describeTimes(times)}`);
        swarm.set(loss.name, [...(swarm.get(loss.name) ?? []), times]);
        await restore(berthLab);
        await removeAll(berthLab.apis, swarmLabel(STACK), berthLab.signal);
      }
    }
    return figuresOf({ scenarios, berth, swarm });
  });
}

/** Restores all hosts and waits until they are ready. */
async function restore({ lab, stacks, signal }: BerthLab): Promise<void> {
  await Promise.all(
    lab.hosts.map(async (host) => {
      if (!host.isUp) await host.start(signal);
      else if (await host.isPartitioned()) await host.heal();
    }),
  );
  await Promise.all(lab.servers.map((server) => server.waitUntilHealthy(signal)));
  await stacks.waitUntilReady(signal);
}

function describe({ times, wrongStarts, requests, severedAtMs }: BerthRun): string {
  const parts = [
    ...(times === undefined ? [] : [describeTimes(times)]),
    `${wrongStarts} wrong replacements`,
    describeLoad(requests, { severedAtMs, originMs: severedAtMs || (requests[0]?.sentAtMs ?? 0) }),
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
