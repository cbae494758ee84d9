import { setTimeout as sleep } from "node:timers/promises";
import type { LabHost } from "../../../deploy/lab/docker-host.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import type { Arena } from "../arena.js";
import { berthLabel } from "../berth-stack.js";
import { DockerApi } from "../docker-api.js";
import { type RequestResult, startLoad } from "../load.js";
import { swarmLabel } from "../peer/swarm.js";
import { untilQuiet } from "../quiet.js";
import { untilAllAnswer } from "./traffic.js";
import { loseWorker, type WorkerLoss } from "./worker-loss.js";

/** The name of the stack, and of the Swarm's service. */
export const STACK = "bench";
const REPLICAS = 12;
const PORT = 18_080;
const REQUESTS_PER_SECOND = 100;
const REQUEST_TIMEOUT_MS = 2_000;
/** Traffic before the cut and after the last replacement: both must be without failures, too. */
const MARGIN_MS = 2_000;
const RUNNING_TIMEOUT_MS = 120_000;

export interface BerthLoss extends WorkerLoss {
  /** Everything asked of the published port of a surviving host, from before the cut until after the replacement. */
  readonly requests: readonly RequestResult[];
}

/** A stack on berth loses one of its hosts while it serves. The stack is removed; the host stays off. */
export async function loseBerthWorker(arena: Arena): Promise<BerthLoss> {
  const { lab, stacks, image, signal } = arena;
  const service = { image, replicas: REPLICAS, ports: [`${PORT}:80`] };
  await stacks.deploy(STACK, { hello: service }, signal);
  await untilRunning("berth", () => stacks.runningTasks(STACK, signal), signal);
  const [asked, ...others] = lab.hosts;
  const victim = others.at(-1);
  if (asked === undefined || victim === undefined) throw new RangeError("a lab without hosts to lose");
  const target = { address: asked.address, port: PORT, timeoutMs: REQUEST_TIMEOUT_MS };
  await untilAllAnswer(target, REPLICAS, signal);
  await untilQuiet(signal);
  const load = startLoad({ ...target, perSecond: REQUESTS_PER_SECOND });
  try {
    await sleep(MARGIN_MS, undefined, { signal });
    const loss = await loseHost(arena, victim, berthLabel(STACK));
    await sleep(MARGIN_MS, undefined, { signal });
    return { ...loss, requests: await load.stop() };
  } finally {
    await load.stop();
    await stacks.remove(STACK, signal);
  }
}

/** A service of the Swarm loses one of its hosts, which is not the leader's. It is removed; the host stays off. */
export async function loseSwarmWorker(arena: Arena): Promise<WorkerLoss> {
  const { lab, swarm, image, signal } = arena;
  await swarm.createService({ name: STACK, image, replicas: REPLICAS, signal });
  await untilRunning("swarm", () => swarm.runningTasks(STACK, signal), signal);
  await untilQuiet(signal);
  const leader = await swarm.leader(signal);
  // The first host is the one that is asked about the Swarm.
  const victim = lab.hosts.slice(1).find((host) => host.name !== leader);
  if (victim === undefined) throw new RangeError("a lab without hosts to lose");
  try {
    return await loseHost(arena, victim, swarmLabel(STACK));
  } finally {
    await swarm.removeService(STACK, signal);
  }
}

async function loseHost({ lab, signal }: Arena, victim: LabHost, label: string): Promise<WorkerLoss> {
  const survivors = lab.hosts
    .filter((host) => host !== victim)
    .map((host) => new DockerApi(host.dockerSocket));
  try {
    return await loseWorker({ victim, survivors, label, replicas: REPLICAS, signal });
  } finally {
    for (const api of survivors) api.close();
  }
}

async function untilRunning(who: string, running: () => Promise<number>, signal: AbortSignal): Promise<void> {
  await waitUntil(async () => (await running()) === REPLICAS, {
    what: `${REPLICAS} replicas on ${who}`,
    timeoutMs: RUNNING_TIMEOUT_MS,
    signal,
  });
}
