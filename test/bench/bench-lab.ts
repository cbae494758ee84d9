import type { Lab } from "../../deploy/lab/lab.js";
import { BerthStacks } from "./berth-stack.js";
import { DockerApi } from "./docker-api.js";
import { loadHello, withBenchLab } from "./lab.js";
import { publishImage, startRegistry } from "./peer/registry.js";
import { Swarm } from "./peer/swarm.js";
import type { BenchContext } from "./run-bench.js";

/** Default number of hosts in the lab. */
const HOSTS = 3;

/** A lab with Docker hosts and berth, and an image that Docker Swarm can run too. */
export interface BerthLab extends BenchContext {
  readonly lab: Lab;
  /** Clients for the hosts' Docker daemons. */
  readonly apis: readonly DockerApi[];
  /** Name of the image. It is present on every host, and in a registry where Swarm looks up its digest. */
  readonly image: string;
  readonly stacks: BerthStacks;
}

/** A {@link BerthLab} whose hosts also run Docker Swarm. */
export interface BerthAndSwarmLab extends BerthLab {
  readonly swarm: Swarm;
}

export interface BerthLabOptions {
  /** One letter that becomes part of the lab's name. */
  readonly tag: string;
  /** @default 3 */
  readonly hosts?: number;
  /** Number of hosts that run a server. Undefined for one server on a separate machine. */
  readonly servers?: number;
}

/** Creates a lab with berth and Swarm for `use`, and removes it afterwards. */
export function withBerthAndSwarmLab<T>(
  { swarmManagers, ...options }: BerthLabOptions & { readonly swarmManagers: number },
  context: BenchContext,
  use: (lab: BerthAndSwarmLab) => Promise<T>,
): Promise<T> {
  return withBerthLab(options, context, async (berthLab) => {
    const swarm = await Swarm.create(berthLab.lab, swarmManagers, context.signal);
    try {
      return await use({ ...berthLab, swarm });
    } finally {
      swarm.close();
    }
  });
}

/** Creates a lab with berth for `use`, and removes it afterwards. */
export async function withBerthLab<T>(
  { tag, hosts = HOSTS, servers }: BerthLabOptions,
  context: BenchContext,
  use: (lab: BerthLab) => Promise<T>,
): Promise<T> {
  const { signal } = context;
  return withBenchLab({ tag, hosts, hasBerth: true, servers }, context, async (lab) => {
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
