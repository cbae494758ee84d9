import { rm } from "node:fs/promises";
import { join } from "node:path";
import { docker } from "../../../deploy/lab/images.js";
import type { Lab } from "../../../deploy/lab/lab.js";
import { machinePaths } from "../../../deploy/lab/paths.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import { DockerApi, filters } from "../docker-api.js";

const SWARM_PORT = 2377;
const READY_TIMEOUT_MS = 60_000;

/** What identifies the containers of one service of the Swarm. */
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
  readonly signal: AbortSignal;
}

/** Docker Swarm on the hosts of a lab: the first `managers` of them manage, all of them work. */
export class Swarm {
  readonly #lab: Lab;
  readonly #apis: ReadonlyMap<string, DockerApi>;
  #asked: string;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.#asked = lab.hosts[0]?.name ?? "";
    this.#apis = new Map(lab.hosts.map((host) => [host.name, new DockerApi(host.dockerSocket)]));
  }

  static async create(lab: Lab, managers: number, signal: AbortSignal): Promise<Swarm> {
    const swarm = new Swarm(lab);
    const [first, ...others] = lab.hosts;
    if (first === undefined) throw new RangeError("a lab without hosts");
    const api = swarm.#api(first.name);
    await api.call("POST", "/swarm/init", { body: whereAt(first.address), signal });
    const { JoinTokens } = await api.get<{ JoinTokens: { Manager: string; Worker: string } }>(
      "/swarm",
      signal,
    );
    for (const [index, host] of others.entries()) {
      const body = {
        ...whereAt(host.address),
        RemoteAddrs: [`${first.address}:${SWARM_PORT}`],
        JoinToken: index + 1 < managers ? JoinTokens.Manager : JoinTokens.Worker,
      };
      await swarm.#api(host.name).call("POST", "/swarm/join", { body, signal });
    }
    await swarm.untilReady(signal);
    return swarm;
  }

  /**
   * Disbands it: no host's Docker knows of a swarm afterwards, a host that is off will not either. Docker is killed for
   * that, as a manager that is asked to leave takes ten seconds. Containers stay, stopped.
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

  /** From now on this host's manager is asked: one that is not about to be lost. */
  ask(host: string): void {
    this.#asked = host;
  }

  /** Waits until every host of the lab is a working member, and every manager can vote. */
  async untilReady(signal: AbortSignal): Promise<void> {
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

  /** Name of the host whose manager leads. */
  async leader(signal: AbortSignal): Promise<string> {
    const nodes = await this.#nodes(signal);
    const leader = nodes.find((node) => node.ManagerStatus?.Leader === true);
    if (leader === undefined) throw new Error("the swarm has no leader");
    return leader.Description.Hostname;
  }

  /** `docker service create --detach`: returns when the swarm has taken the service in. */
  async createService({ name, image, replicas, signal }: SwarmService): Promise<void> {
    const flags = ["--detach", "--quiet", "--name", name, "--replicas", String(replicas)];
    await docker(this.#managerSocket(), ["service", "create", ...flags, image], signal);
  }

  async scaleService(name: string, replicas: number, signal: AbortSignal): Promise<void> {
    await docker(this.#managerSocket(), ["service", "scale", "--detach", `${name}=${replicas}`], signal);
  }

  /** Tasks that the swarm itself says are running. */
  async runningTasks(service: string, signal: AbortSignal): Promise<number> {
    const query = filters({ service: [service], "desired-state": ["running"] });
    const tasks = await this.#manager().get<SwarmTask[]>(`/tasks?${query}`, signal);
    return tasks.filter((task) => task.Status.State === "running").length;
  }

  /** Asks for its removal; its containers go some time later. */
  async removeService(name: string, signal: AbortSignal): Promise<void> {
    await this.#manager().call("DELETE", `/services/${name}`, { signal });
  }

  close(): void {
    for (const api of this.#apis.values()) api.close();
  }

  #nodes(signal: AbortSignal): Promise<SwarmNode[]> {
    return this.#manager().get<SwarmNode[]>("/nodes", signal);
  }

  /** The first host manages; who takes it away names another one to ask. */
  #manager(): DockerApi {
    return this.#api(this.#asked);
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

/** Where a host's Docker keeps what it knows of the swarm. */
function swarmDirOf(lab: Lab, host: string): string {
  return join(machinePaths(lab.name, host).dataDir, "docker", "swarm");
}

function whereAt(address: string): { ListenAddr: string; AdvertiseAddr: string } {
  const at = `${address}:${SWARM_PORT}`;
  return { ListenAddr: at, AdvertiseAddr: at };
}
