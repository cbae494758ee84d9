import { setTimeout as sleep } from "node:timers/promises";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import type { LabServer } from "../../../deploy/lab/lab-server.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import type { BerthLab } from "../bench-lab.js";
import { berthLabel } from "../berth-stack.js";
import { type DockerApi, filters } from "../docker-api.js";

const STACK = "bench";
/** Where every host answers. */
export const PORT = 18_080;
const SETTLED_TIMEOUT_MS = 120_000;
const REBALANCE_EVERY_MS = 1_000;
const PROCESS_TIMEOUT_MS = 30_000;

/** A stack that serves on three hosts, and what can be done to it. */
export class ServingStack {
  readonly service = `${STACK}_web`;
  readonly replicas: number;
  readonly serverGoneMs: number;
  readonly #image: string;
  readonly #stage: BerthLab;
  /** When something died, in milliseconds since the epoch. */
  #severedAtMs = 0;

  constructor(
    stage: BerthLab,
    options: { readonly image: string; readonly replicas: number; readonly serverGoneMs: number },
  ) {
    this.#stage = stage;
    this.#image = options.image;
    this.replicas = options.replicas;
    this.serverGoneMs = options.serverGoneMs;
  }

  /** A host that clients ask, to which things happen that leave it on the network. */
  get entryHost(): LabHost {
    return this.#host(1);
  }

  /** A host that no client asks, to which the worst happens. */
  get workerHost(): LabHost {
    return this.#host(2);
  }

  get addresses(): readonly string[] {
    return [this.#host(0).address, this.entryHost.address];
  }

  get servers(): readonly LabServer[] {
    return this.#stage.lab.servers;
  }

  /** Requests sent until now may have been inside what has just died. */
  get severedAtMs(): number {
    return this.#severedAtMs;
  }

  markSevered(): void {
    this.#severedAtMs = Date.now();
  }

  begin(): void {
    this.#severedAtMs = 0;
  }

  /** Anew for each path, whatever was there. */
  async deploy(): Promise<void> {
    const { stacks, signal } = this.#stage;
    if (await stacks.exists(STACK, signal)) await stacks.remove(STACK, signal);
    const web = { image: this.#image, replicas: this.replicas, ports: [`${PORT}:80`] };
    await stacks.deploy(STACK, { web }, signal);
  }

  async berth(...args: readonly string[]): Promise<void> {
    const { lab, signal } = this.#stage;
    const { code, stdout, stderr } = await lab.berth(args, { signal });
    if (code !== 0) throw new Error(`berth ${args.join(" ")}: exit ${code}\n${stdout}${stderr}`);
  }

  /** Waits, and then until all replicas run. */
  async settle(afterMs: number): Promise<void> {
    const { stacks, signal } = this.#stage;
    await sleep(afterMs, undefined, { signal });
    await waitUntil(async () => (await stacks.runningTasks(STACK, signal)) === this.replicas, {
      what: `${this.replicas} running replicas`,
      timeoutMs: SETTLED_TIMEOUT_MS,
      signal,
    });
  }

  /** Until every host has its share again: what happens to a host without replicas would show nothing. */
  async spreadReplicas(): Promise<void> {
    const { apis, signal } = this.#stage;
    await waitUntil(
      async () => {
        const counts = await Promise.all(apis.map(async (api) => (await replicasOn(api)).length));
        const isSpread = counts.every((count) => count >= Math.floor(this.replicas / counts.length));
        if (isSpread) return true;
        await this.berth("rebalance");
        await sleep(REBALANCE_EVERY_MS, undefined, { signal });
        return false;
      },
      {
        what: "replicas on every host",
        timeoutMs: SETTLED_TIMEOUT_MS,

        signal,
      },
    );
    await this.settle(0);
  }

  /** A replica on the host that is asked. */
  async someReplica(): Promise<{ readonly host: LabHost; readonly api: DockerApi; readonly id: string }> {
    const host = this.entryHost;
    const api = this.#stage.apis[this.#stage.lab.hosts.indexOf(host)];
    const [first] = api === undefined ? [] : await replicasOn(api);
    if (api === undefined || first === undefined) throw new Error(`${host.name} runs no replica`);
    return { host, api, id: first.Id };
  }

  async waitUntilEnded(which: "agent" | "dockerd"): Promise<void> {
    await waitUntil(() => this.entryHost.processes(which).length === 0, {
      what: `the ${which} of ${this.entryHost.name} to end`,
      timeoutMs: PROCESS_TIMEOUT_MS,
      signal: this.#stage.signal,
    });
  }

  #host(index: number): LabHost {
    const host = this.#stage.lab.hosts[index];
    if (host === undefined) throw new Error("the lab has too few hosts");
    return host;
  }
}

function replicasOn(api: DockerApi): Promise<readonly { readonly Id: string }[]> {
  const query = filters({ label: [berthLabel(STACK)], status: ["running"] });
  return api.get(`/containers/json?${query}`);
}
