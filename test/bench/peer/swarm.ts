import { rm } from "node:fs/promises";
import { join } from "node:path";
import { docker } from "../../../deploy/lab/images.js";
import type { Lab } from "../../../deploy/lab/lab.js";
import { machinePaths } from "../../../deploy/lab/paths.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import { DockerApi, filters } from "../docker-api.js";

const SWARM_PORT = 2377;
const READY_TIMEOUT_MS = 60_000;
/** Swarm's default address pool, 10.0.0.0/8, overlaps with the addresses of a lab. */
const OVERLAY_SUBNET = "172.30.0.0/18";

/** Returns the label that marks the containers of a Swarm service. */
export const swarmLabel = (service: string): string => `com.docker.swarm.service.name=${service}`;

interface SwarmNode {
  readonly Description: { readonly Hostname: string };
  readonly Status: { readonly State: string };
  readonly ManagerStatus?: { readonly Leader?: boolean; readonly Reachability?: string };
}

interface SwarmTask {
  readonly Status: { readonly State: string };
}

export interface SwarmService {
  readonly name: string;
  readonly image: string;
  readonly replicas: number;
  /** An overlay network to connect the containers to. */
  readonly network?: string;
  readonly signal: AbortSignal;
}

/** Docker Swarm on the hosts of a lab. All hosts run tasks; the first `managers` hosts are managers. */
export class Swarm {
  readonly #lab: Lab;
  readonly #apis: ReadonlyMap<string, DockerApi>;
  #managerHost: string;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.#managerHost = lab.hosts[0]?.name ?? "";
    this.#apis = new Map(lab.hosts.map((host) => [host.name, new DockerApi(host.dockerSocket)]));
  }

  static async create(lab: Lab, managers: number, signal: AbortSignal): Promise<Swarm> {
    const swarm = new Swarm(lab);
    const [first, ...others] = lab.hosts;
    if (first === undefined) throw new RangeError("the lab has no hosts");
    const api = swarm.#api(first.name);
    await api.call("POST", "/swarm/init", { body: swarmAddress(first.address), signal });
    const { JoinTokens } = await api.get<{ JoinTokens: { Manager: string; Worker: string } }>(
      "/swarm",
      signal,
    );
    for (const [index, host] of others.entries()) {
      const body = {
        ...swarmAddress(host.address),
        RemoteAddrs: [`${first.address}:${SWARM_PORT}`],
        JoinToken: index + 1 < managers ? JoinTokens.Manager : JoinTokens.Worker,
      };
      await swarm.#api(host.name).call("POST", "/swarm/join", { body, signal });
    }
    await swarm.waitUntilReady(signal);
    return swarm;
  }

  /**
   * Removes the swarm's state from all hosts, including those without power. Kills the daemons first, because a manager
   * takes ten seconds to leave in an orderly way. Stopped containers are left behind.
   */
  async disband(signal: AbortSignal): Promise<void> {
    this.close();
    await Promise.all(
      this.#lab.hosts.map(async (host) => {
        const { isUp } = host;
        if (isUp) await host.killProcess("dockerd");
        await rm(swarmDirOf(this.#lab, host.name), { recursive: true, force: true });
        if (isUp) await host.startDockerd(signal);
      }),
    );
  }

  /** Selects the host whose manager receives further calls. */
  selectManager(host: string): void {
    this.#managerHost = host;
  }

  /** Waits until every host of the lab is ready and every manager is reachable. */
  async waitUntilReady(signal: AbortSignal): Promise<void> {
    const ready = async (): Promise<boolean> => {
      const nodes = await this.#nodes(signal).catch(() => []);
      const working = nodes.filter(
        ({ Status, ManagerStatus }) =>
          Status.State === "ready" && (ManagerStatus?.Reachability ?? "reachable") === "reachable",
      );
      return working.length === this.#lab.hosts.length;
    };
    await waitUntil(ready, { what: "all hosts to be in the swarm", timeoutMs: READY_TIMEOUT_MS, signal });
  }

  /** Returns the name of the host whose manager is the leader. */
  async leader(signal: AbortSignal): Promise<string> {
    const nodes = await this.#nodes(signal);
    const leader = nodes.find((node) => node.ManagerStatus?.Leader === true);
    if (leader === undefined) throw new Error("the swarm has no leader");
    return leader.Description.Hostname;
  }

  /** Runs `docker service create --detach`. Resolves once the manager has accepted the service. */
  async createService({ name, image, replicas, network, signal }: SwarmService): Promise<void> {
    const flags = ["--detach", "--quiet", "--name", name, "--replicas", String(replicas)];
    if (network !== undefined) flags.push("--network", network);
    await docker(this.#managerSocket(), ["service", "create", ...flags, image], signal);
  }

  /** Runs `docker network create --driver overlay`. */
  async createNetwork(name: string, signal: AbortSignal): Promise<void> {
    await docker(
      this.#managerSocket(),
      ["network", "create", "--driver", "overlay", "--subnet", OVERLAY_SUBNET, name],
      signal,
    );
  }

  /** Removes a network. Retries while managers still count the tasks of a removed service as its users. */
  async removeNetwork(name: string, signal: AbortSignal): Promise<void> {
    const remove = async (): Promise<boolean> => {
      try {
        await this.#manager().call("DELETE", `/networks/${name}`, { signal });
        return true;
      } catch {
        return false;
      }
    };
    await waitUntil(remove, { what: `network ${name} to be removed`, timeoutMs: READY_TIMEOUT_MS, signal });
  }

  /** Returns how many tasks the swarm reports as running. */
  async runningTasks(service: string, signal: AbortSignal): Promise<number> {
    const query = filters({ service: [service], "desired-state": ["running"] });
    const tasks = await this.#manager().get<SwarmTask[]>(`/tasks?${query}`, signal);
    return tasks.filter((task) => task.Status.State === "running").length;
  }

  /** Requests the removal of a service. Its containers are removed later. */
  async removeService(name: string, signal: AbortSignal): Promise<void> {
    await this.#manager().call("DELETE", `/services/${name}`, { signal });
  }

  close(): void {
    for (const api of this.#apis.values()) api.close();
  }

  #nodes(signal: AbortSignal): Promise<SwarmNode[]> {
    return this.#manager().get<SwarmNode[]>("/nodes", signal);
  }

  /** Returns the client of the first host's manager, or of the one that `selectManager` selected. */
  #manager(): DockerApi {
    return this.#api(this.#managerHost);
  }

  #managerSocket(): string {
    return this.#manager().socketPath;
  }

  #api(host: string): DockerApi {
    const api = this.#apis.get(host);
    if (api === undefined) throw new RangeError(`no host ${host}`);
    return api;
  }
}

/** Returns the directory in which a host's daemon stores the swarm's state. */
function swarmDirOf(lab: Lab, host: string): string {
  return join(machinePaths(lab.name, host).dataDir, "docker", "swarm");
}

function swarmAddress(address: string): { ListenAddr: string; AdvertiseAddr: string } {
  const at = `${address}:${SWARM_PORT}`;
  return { ListenAddr: at, AdvertiseAddr: at };
}
