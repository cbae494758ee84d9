import type { Lab } from "../../deploy/lab/lab.js";
import { BerthStacks } from "./berth-stack.js";
import { DockerApi } from "./docker-api.js";
import { loadHello, withBenchLab } from "./lab.js";
import { publishImage, startRegistry } from "./peer/registry.js";
import { Swarm } from "./peer/swarm.js";
import type { BenchContext } from "./run-bench.js";

const HOSTS = 3;

/** A lab with three Docker hosts and berth, and an image that Docker Swarm can run too. */
export interface BerthLab extends BenchContext {
  readonly lab: Lab;
  /** Docker of each host. */
  readonly apis: readonly DockerApi[];
  /** Present on every host, and in a registry in which Swarm can look up its digest. */
  readonly image: string;
  readonly stacks: BerthStacks;
}

/** The same lab with Docker Swarm on its hosts. */
export interface BerthAndSwarmLab extends BerthLab {
  readonly swarm: Swarm;
}

export interface StageOptions {
  /** Part of the lab's name, one letter. */
  readonly tag: string;
  /** Number of hosts that run a server. Undefined for one server on a separate machine. */
  readonly servers?: number;
}

/** Creates a lab with berth and Swarm for `use`, and removes it afterwards. */
export function withBerthAndSwarmLab<T>(
  { swarmManagers, ...options }: StageOptions & { readonly swarmManagers: number },
  context: BenchContext,
  use: (arena: BerthAndSwarmLab) => Promise<T>,
): Promise<T> {
  return withBerthLab(options, context, async (stage) => {
    const swarm = await Swarm.create(stage.lab, swarmManagers, context.signal);
    try {
      return await use({ ...stage, swarm });
    } finally {
      swarm.close();
    }
  });
}

/** Creates a lab with berth for `use`, and removes it afterwards. */
export async function withBerthLab<T>(
  { tag, servers }: StageOptions,
  context: BenchContext,
  use: (stage: BerthLab) => Promise<T>,
): Promise<T> {
  const { signal } = context;
  return withBenchLab({ tag, hosts: HOSTS, hasBerth: true, servers }, context, async (lab) => {
    const image = `${await startRegistry(lab, signal)}/hello:bench`;
    await loadHello(lab, image);
    await publishImage(lab, image, signal);
    const stacks = await BerthStacks.connect(lab);
    const apis = lab.hosts.map((host) => new DockerApi(host.dockerSocket));
    try {
      await stacks.waitUntilReady(signal);
      return await use({ ...context, lab, apis, image, stacks });
    } finally {
      for (const connection of [stacks, ...apis]) connection.close();
    }
  });
}
