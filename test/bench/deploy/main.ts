// 60 replicas over three Docker hosts: from the order to all of them running, and known to be running.
// berth (`stack deploy` of a new stack), Docker Swarm (`service create` of a new service) and the Docker API alone
// (the floor) take turns on the same daemons, with the same image and settings.
import { type BerthAndSwarmLab, withBerthAndSwarmLab } from "../bench-lab.js";
import { filters } from "../docker-api.js";
import { bodyLike, type ContainerBody } from "../peer/docker-baseline.js";
import { type Figure, figureOf, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { baselineDeployer, berthDeployer, swarmDeployer } from "./deployers.js";
import { type Deployer, type DeployResult, type DeployTime, measureDeploy } from "./measure-deploy.js";

const REPLICAS = 60;
/** Enough for every host to have started a few: caches, compiled code and connections are warm afterwards. */
const WARM_UP_REPLICAS = 12;
/** The last: all of them at once, as Swarm does it. */
const FLOOR_CONCURRENCIES = [1, 2, 4, 8, 20];
/** Swarm at its fastest: one manager needs no one's agreement. berth has one server here, too. */
const SWARM_MANAGERS = 1;
const RATIO_TO_FLOOR_GOAL = 1.1;

type Who = "floor" | "berth" | "swarm";
type Contenders = Readonly<Record<Who, Deployer>>;
type Round = Readonly<Record<Who, DeployResult>>;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  return withBerthAndSwarmLab({ tag: "d", swarmManagers: SWARM_MANAGERS }, context, async (arena) => {
    const contenders = await prepare(arena);
    const rounds: Round[] = [];
    for (let run = 1; run <= arena.runs; run += 1) {
      const floor = await measureOne(arena, contenders.floor, run);
      const berth = await measureOne(arena, contenders.berth, run);
      const swarm = await measureOne(arena, contenders.swarm, run);
      rounds.push({ floor, berth, swarm });
    }
    return figuresOf(rounds);
  });
}

/** Warms everybody up. The floor then starts what berth starts, at the pace that suits this machine best. */
async function prepare(arena: BerthAndSwarmLab): Promise<Contenders> {
  const berth = berthDeployer(arena);
  const swarm = swarmDeployer(arena);
  const body: ContainerBody[] = [];
  const copyOne = async (): Promise<void> => {
    body.push(await bodyOfFirst(arena, berth.label));
  };
  arena.progress("warming up");
  await measureDeploy(arena, berth, { count: WARM_UP_REPLICAS, whileRunning: copyOne });
  await measureDeploy(arena, swarm, { count: WARM_UP_REPLICAS });
  return { floor: await bestFloor(arena, body[0] ?? {}), berth, swarm };
}

async function bodyOfFirst({ apis, signal }: BerthAndSwarmLab, label: string): Promise<ContainerBody> {
  for (const api of apis) {
    const [first] = await api.get<{ Id: string }[]>(
      `/containers/json?${filters({ label: [label] })}`,
      signal,
    );
    if (first !== undefined) return bodyLike(api, first.Id);
  }
  throw new Error(`no container carries ${label}`);
}

async function bestFloor(arena: BerthAndSwarmLab, body: ContainerBody): Promise<Deployer> {
  const tried: { contender: Deployer; seconds: number }[] = [];
  for (const concurrency of FLOOR_CONCURRENCIES) {
    const contender = baselineDeployer(arena, body, concurrency);
    const { confirmedS: seconds } = await measureDeploy(arena, contender, { count: REPLICAS });
    arena.progress(`floor with ${concurrency} at once on each host: ${seconds.toFixed(2)} s`);
    tried.push({ contender, seconds });
  }
  return tried.reduce((best, next) => (next.seconds < best.seconds ? next : best)).contender;
}

async function measureOne(arena: BerthAndSwarmLab, contender: Deployer, run: number): Promise<DeployResult> {
  const result = await measureDeploy(arena, contender, { count: REPLICAS });
  const { acceptedS, firstStartS, lastStartS, confirmedS, cpuSeconds } = result;
  const steps = `taken ${acceptedS.toFixed(2)}, starts ${firstStartS.toFixed(2)} to ${lastStartS.toFixed(2)}`;
  const cpu = [...cpuSeconds].map(([program, seconds]) => `${program} ${seconds.toFixed(2)}`).join(", ");
  arena.progress(
    `run ${run} ${contender.name.padEnd(5)} ${confirmedS.toFixed(2)} s (${steps}; cpu s: ${cpu})`,
  );
  return result;
}

function figuresOf(rounds: readonly Round[]): Figure[] {
  const runsOf = (who: Who, what: keyof DeployTime): number[] => rounds.map((round) => round[who][what]);
  // Within a round, so that a machine that gets slower over time is slower for both.
  const ratio = (who: Who, to: Who): number[] =>
    rounds.map((round) => round[who].confirmedS / round[to].confirmedS);
  const seconds = (name: string, what: keyof DeployTime): Figure =>
    figureOf({
      name,
      unit: "s",
      peer: { floor: median(runsOf("floor", what)), swarm: median(runsOf("swarm", what)) },
      runs: runsOf("berth", what),
    });
  const cpuOf = (who: Who): number[] =>
    rounds.map((round) => [...round[who].cpuSeconds.values()].reduce((sum, seconds) => sum + seconds, 0));
  return [
    figureOf({
      name: "deploy.ratio_to_floor",
      unit: "x",
      goal: { kind: "at-most", value: RATIO_TO_FLOOR_GOAL },
      peer: { swarm: median(ratio("swarm", "floor")) },
      runs: ratio("berth", "floor"),
    }),
    figureOf({ name: "deploy.ratio_to_swarm", unit: "x", runs: ratio("berth", "swarm") }),
    seconds("deploy.all_running_s", "confirmedS"),
    seconds("deploy.last_start_s", "lastStartS"),
    figureOf({
      name: "deploy.cpu_s",
      unit: "s",
      peer: { floor: median(cpuOf("floor")), swarm: median(cpuOf("swarm")) },
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
