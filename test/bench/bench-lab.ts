import type { Lab } from "../../deploy/lab/lab.js";
import { BerthStacks } from "./berth-stack.js";
import { DockerApi } from "./docker-api.js";
import { loadHello, withBenchLab } from "./lab.js";
import { publishImage, startRegistry } from "./peer/registry.js";
import { Swarm } from "./peer/swarm.js";
import type { BenchContext } from "./run-bench.js";

const HOSTS = 3;

/** Three Docker hosts on which berth waits for work, and an image that a Swarm may run as well. */
export interface BerthLab extends BenchContext {
  readonly lab: Lab;
  /** Docker of each host. */
  readonly apis: readonly DockerApi[];
  /** Present on every host, and in a registry that Swarm may ask about it. */
  readonly image: string;
  readonly stacks: BerthStacks;
}

/** A stage on which a Swarm waits for work, too. */
export interface BerthAndSwarmLab extends BerthLab {
  readonly swarm: Swarm;
}

export interface StageOptions {
  /** One letter or so, for the lab's name. */
  readonly tag: string;
  /** Servers of berth on so many of the hosts; absent: one on a machine of its own. */
  readonly servers?: number;
}

/** Builds an arena for `use` and removes it whatever happens. */
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

/** Builds a stage for `use` and removes it whatever happens. */
export async function withBerthLab<T>(
  { tag, servers }: StageOptions,
  context: BenchContext,
  use: (stage: BerthLab) => Promise<T>,
): Promise<T> {
  const { signal } = context;
  return withBenchLab({ tag, hosts: HOSTS, berth: true, servers }, context, async (lab) => {
    const image = `${await startRegistry(lab, signal)}/hello:bench`;
    await loadHello(lab, image);
    await publishImage(lab, image, signal);
    const stacks = new BerthStacks(lab);
    const apis = lab.hosts.map((host) => new DockerApi(host.dockerSocket));
    try {
      await stacks.waitUntilReady(signal);
      return await use({ ...context, lab, apis, image, stacks });
    } finally {
      for (const connection of [stacks, ...apis]) connection.close();
    }
  });
}
