// `npm run bench -- deploy`: measures the time from a deployment call until 60 replicas on three Docker hosts are
// reported as running. berth (`stack deploy` of a new stack), Docker Swarm (`service create` on a new overlay network)
// and the bare Docker API (on a new bridge network) take turns on the same daemons, with the same image and settings.
import { type BerthAndSwarmLab, withBerthAndSwarmLab } from "../bench-lab.js";
import { type Baseline, baselineLike } from "../peer/docker-baseline.js";
import { type Figure, figureOf, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { berthDeployer, dockerDeployer, swarmDeployer } from "./deployers.js";
import { type Deployer, type DeployResult, type DeployTime, measureDeploy } from "./measure-deploy.js";

interface Size {
  readonly hosts: number;
  readonly replicas: number;
  /** Enough for each host to start a few, which warms up caches, compiled code and connections. */
  readonly warmUpReplicas: number;
  /** Numbers of containers that the bare API starts at the same time on each host. The fastest becomes the baseline. */
  readonly concurrencies: readonly number[];
}

/** Swarm starts all containers of a host at once, as the last concurrency does. */
const FULL: Size = { hosts: 3, replicas: 60, warmUpReplicas: 12, concurrencies: [1, 2, 4, 8, 20] };
const SMOKE: Size = { hosts: 1, replicas: 1, warmUpReplicas: 1, concurrencies: [1] };
/**
 * Number of Swarm managers. Swarm is fastest with a single manager, which needs no quorum. berth also has a single
 * server here.
 */
const SWARM_MANAGERS = 1;
const RATIO_TO_DOCKER_GOAL = 1.1;

type DeployerName = "docker" | "berth" | "swarm";
type Deployers = Readonly<Record<DeployerName, Deployer>>;
type Round = Readonly<Record<DeployerName, DeployResult>>;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const size = context.isSmoke ? SMOKE : FULL;
  const options = { tag: "d", hosts: size.hosts, swarmManagers: SWARM_MANAGERS };
  return withBerthAndSwarmLab(options, context, async (lab) => {
    const deployers = await prepare(lab, size);
    const rounds: Round[] = [];
    for (let run = 1; run <= lab.runs; run += 1) {
      const measureOne = (deployer: Deployer): Promise<DeployResult> =>
        measureAndReport(lab, deployer, { run, count: size.replicas });
      const docker = await measureOne(deployers.docker);
      const berth = await measureOne(deployers.berth);
      const swarm = await measureOne(deployers.swarm);
      rounds.push({ docker, berth, swarm });
    }
    return figuresOf(rounds);
  });
}

/** Warms up berth and Swarm, copies the configuration of a berth container, and finds the fastest concurrency. */
async function prepare(lab: BerthAndSwarmLab, size: Size): Promise<Deployers> {
  const berth = berthDeployer(lab);
  const swarm = swarmDeployer(lab);
  const baselines: Baseline[] = [];
  const copyFirst = async (): Promise<void> => {
    baselines.push(await baselineLike(lab.apis, berth.label));
  };
  lab.progress("warming up");
  await measureDeploy(lab, berth, { count: size.warmUpReplicas, whileRunning: copyFirst });
  await measureDeploy(lab, swarm, { count: size.warmUpReplicas });
  const [baseline] = baselines;
  if (baseline === undefined) throw new Error("no container to copy");
  return { docker: await fastestBaseline(lab, baseline, size), berth, swarm };
}

async function fastestBaseline(lab: BerthAndSwarmLab, baseline: Baseline, size: Size): Promise<Deployer> {
  const tried: { deployer: Deployer; seconds: number }[] = [];
  for (const concurrency of size.concurrencies) {
    const deployer = dockerDeployer(lab, { ...baseline, concurrency });
    const { confirmedS: seconds } = await measureDeploy(lab, deployer, { count: size.replicas });
    lab.progress(`Docker API, ${concurrency} at a time on each host: ${seconds.toFixed(2)} s`);
    tried.push({ deployer, seconds });
  }
  return tried.reduce((best, next) => (next.seconds < best.seconds ? next : best)).deployer;
}

async function measureAndReport(
  lab: BerthAndSwarmLab,
  deployer: Deployer,
  { run, count }: { readonly run: number; readonly count: number },
): Promise<DeployResult> {
  const result = await measureDeploy(lab, deployer, { count });
  const { acceptedS, firstStartS, lastStartS, confirmedS, cpuSeconds } = result;
  const steps = `accepted ${acceptedS.toFixed(2)}, starts ${firstStartS.toFixed(2)} to ${lastStartS.toFixed(2)}`;
  const cpu = [...cpuSeconds].map(([program, seconds]) => `${program} ${seconds.toFixed(2)}`).join(", ");
  lab.progress(`run ${run} ${deployer.name.padEnd(6)} ${confirmedS.toFixed(2)} s (${steps}; CPU s: ${cpu})`);
  return result;
}

function figuresOf(rounds: readonly Round[]): Figure[] {
  const runsOf = (name: DeployerName, time: keyof DeployTime): number[] =>
    rounds.map((round) => round[name][time]);
  // Compute ratios within a round, so that a machine that becomes slower affects both sides.
  const ratio = (name: DeployerName, to: DeployerName): number[] =>
    rounds.map((round) => round[name].confirmedS / round[to].confirmedS);
  const seconds = (name: string, time: keyof DeployTime): Figure =>
    figureOf({
      name,
      unit: "s",
      peer: { docker: median(runsOf("docker", time)), swarm: median(runsOf("swarm", time)) },
      runs: runsOf("berth", time),
    });
  const cpuOf = (name: DeployerName): number[] =>
    rounds.map((round) => [...round[name].cpuSeconds.values()].reduce((sum, used) => sum + used, 0));
  return [
    figureOf({
      name: "deploy.ratio_to_docker",
      unit: "x",
      goal: { kind: "at-most", value: RATIO_TO_DOCKER_GOAL },
      peer: { swarm: median(ratio("swarm", "docker")) },
      runs: ratio("berth", "docker"),
    }),
    figureOf({ name: "deploy.ratio_to_swarm", unit: "x", runs: ratio("berth", "swarm") }),
    seconds("deploy.all_running_s", "confirmedS"),
    seconds("deploy.last_start_s", "lastStartS"),
    figureOf({
      name: "deploy.cpu_s",
      unit: "s",
      peer: { docker: median(cpuOf("docker")), swarm: median(cpuOf("swarm")) },
      runs: cpuOf("berth"),
    }),
  ];
}

process.exitCode = await runBench(
  {
    name: "deploy",
    programs: { docker: ["dockerd", "--version"], etcd: ["etcd", "--version"] },
    measure,
  },
  process.argv.slice(2),
);
