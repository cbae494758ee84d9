import { setTimeout as sleep } from "node:timers/promises";
import { assertNever } from "@berth/proto";
import type { Lab } from "../../../deploy/lab/lab.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import type { LabServer } from "../../../deploy/lab/lab-server.js";
import type { RunOptions } from "../../../deploy/lab/run.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import type { BerthLab } from "../bench-lab.js";
import { type BenchService, berthLabel } from "../berth-stack.js";
import { type DockerApi, filters } from "../docker-api.js";
import { ServedVersions } from "./served-versions.js";

const STACK = "bench";
/** Published port of the stack. */
export const PORT = 18_080;
const SETTLED_TIMEOUT_MS = 120_000;
const REBALANCE_EVERY_MS = 1_000;
const PROCESS_TIMEOUT_MS = 30_000;

/** `replicated`: several replicas on every host. `single`: one replica, which is stopped before its successor starts. */
export type StackKind = "replicated" | "single";

export const STACK_KINDS: readonly StackKind[] = ["replicated", "single"];

const REPLICAS: Readonly<Record<StackKind, number>> = { replicated: 6, single: 1 };

/** A stack that serves requests on three hosts. Provides the operations that disruptions need. */
export class ServingStack {
  readonly service = `${STACK}_web`;
  readonly kind: StackKind;
  readonly serverGoneMs: number;
  readonly #image: string;
  readonly #berthLab: BerthLab;
  /** When the disruption killed a process or host, in milliseconds since the epoch. 0 if it has not. */
  #severedAtMs = 0;
  #secretVersion = 1;
  #served = new ServedVersions();

  constructor(
    berthLab: BerthLab,
    options: { readonly image: string; readonly kind: StackKind; readonly serverGoneMs: number },
  ) {
    this.#berthLab = berthLab;
    this.#image = options.image;
    this.kind = options.kind;
    this.serverGoneMs = options.serverGoneMs;
  }

  get replicas(): number {
    return REPLICAS[this.kind];
  }

  /** A host that clients send requests to. Disruptions leave it on the network. */
  get entryHost(): LabHost {
    return this.#host(1);
  }

  /** A host that clients do not send requests to. It may lose its network or power. */
  get workerHost(): LabHost {
    return this.#host(2);
  }

  /** A host whose replica or Docker may be disrupted. The single replica must not be on a host that clients use. */
  get replicaHost(): LabHost {
    return this.kind === "single" ? this.workerHost : this.entryHost;
  }

  get addresses(): readonly string[] {
    return [this.#host(0).address, this.entryHost.address];
  }

  get lab(): Lab {
    return this.#berthLab.lab;
  }

  get servers(): readonly LabServer[] {
    return this.#berthLab.lab.servers;
  }

  /** Requests sent up to this time may have been in flight on the victim. 0 if nothing was killed. */
  get severedAtMs(): number {
    return this.#severedAtMs;
  }

  markSevered(): void {
    this.#severedAtMs = Date.now();
  }

  begin(): void {
    this.#severedAtMs = 0;
    this.#served = new ServedVersions();
  }

  /** The versions of the secret in the replies since `begin`. */
  get served(): ServedVersions {
    return this.#served;
  }

  /** Deploys the stack. Removes an earlier one first. */
  async deploy(): Promise<void> {
    const { stacks, signal } = this.#berthLab;
    if (await stacks.exists(STACK, signal)) await stacks.remove(STACK, signal);
    await this.#writeSecret("create");
    const web: BenchService = {
      image: this.#image,
      replicas: this.replicas,
      updateOrder: this.kind === "single" ? "stop-first" : undefined,
      ports: [`${PORT}:80`],
      hostname: "{{.Task.Name}}",
      secrets: { [this.#secret]: "version.conf" },
    };
    await stacks.deploy(STACK, { web }, signal);
  }

  /** Stores a new version of the secret and waits for the service to converge. */
  async updateSecret(): Promise<void> {
    this.#secretVersion += 1;
    await this.#writeSecret("update");
  }

  async berth(...args: readonly string[]): Promise<void> {
    await this.#berth(args);
  }

  /** Waits for `afterMs`, and then until all replicas are running. */
  async settle(afterMs: number): Promise<void> {
    const { stacks, signal } = this.#berthLab;
    await sleep(afterMs, undefined, { signal });
    await waitUntil(async () => (await stacks.runningTasks(STACK, signal)) === this.replicas, {
      what: `${this.replicas} running replicas`,
      timeoutMs: SETTLED_TIMEOUT_MS,
      signal,
    });
  }

  /** Waits until the replicas are where disruptions hit them: on every host, or the single one on the worker host. */
  placeReplicas(): Promise<void> {
    switch (this.kind) {
      case "replicated":
        return this.#spreadReplicas();
      case "single":
        return this.#moveToWorkerHost();
      default:
        return assertNever(this.kind);
    }
  }

  /** Returns a replica on a host whose replica may be disrupted. */
  async findReplica(): Promise<{ readonly host: LabHost; readonly api: DockerApi; readonly id: string }> {
    const host = this.replicaHost;
    const api = this.#berthLab.apis[this.#berthLab.lab.hosts.indexOf(host)];
    const [first] = api === undefined ? [] : await replicasOn(api);
    if (api === undefined || first === undefined) throw new Error(`${host.name} runs no replica`);
    return { host, api, id: first.Id };
  }

  async waitUntilEnded(host: LabHost, which: "agent" | "dockerd"): Promise<void> {
    await waitUntil(() => host.processes(which).length === 0, {
      what: `the ${which} on ${host.name} to end`,
      timeoutMs: PROCESS_TIMEOUT_MS,
      signal: this.#berthLab.signal,
    });
  }

  /**
   * Waits until every host has its share of replicas. Disrupting a host without replicas would have no effect.
   *
   * @throws Error that lists the failures because of which placement may avoid a host
   */
  async #spreadReplicas(): Promise<void> {
    const { apis, stacks, signal } = this.#berthLab;
    const isSpread = async (): Promise<boolean> => {
      const counts = await Promise.all(apis.map(async (api) => (await replicasOn(api)).length));
      if (counts.every((count) => count >= Math.floor(this.replicas / counts.length))) return true;
      await this.berth("rebalance");
      await sleep(REBALANCE_EVERY_MS, undefined, { signal });
      return false;
    };
    const options = { what: "replicas on every host", timeoutMs: SETTLED_TIMEOUT_MS, signal };
    await waitUntil(isSpread, options).catch(async (error: unknown) => {
      const failures = await stacks.describeNodeFailures(STACK, signal);
      throw new Error(`${String(error)}; failures counted against nodes: ${failures.join("; ") || "none"}`);
    });
    await this.settle(0);
  }

  async #moveToWorkerHost(): Promise<void> {
    const { apis, lab, signal } = this.#berthLab;
    const api = apis[lab.hosts.indexOf(this.workerHost)];
    const others = lab.hosts.filter((host) => host !== this.workerHost);
    for (const { name } of others) await this.berth("node", "drain", name);
    const isThere = async (): Promise<boolean> => api !== undefined && (await replicasOn(api)).length === 1;
    const what = `the replica on ${this.workerHost.name}`;
    await waitUntil(isThere, { what, timeoutMs: SETTLED_TIMEOUT_MS, signal });
    for (const { name } of others) await this.berth("node", "activate", name);
    await this.settle(0);
  }

  /** Name of the secret that contains the version to put into replies. */
  get #secret(): string {
    return `${STACK}_${this.kind}_version`;
  }

  async #writeSecret(command: "create" | "update"): Promise<void> {
    const timeoutMs = SETTLED_TIMEOUT_MS;
    const input = `set $version ${this.#secretVersion};\n`;
    await this.#berth(["secret", command, this.#secret, "-"], { input, timeoutMs });
  }

  async #berth(args: readonly string[], options: RunOptions = {}): Promise<void> {
    const { lab, signal } = this.#berthLab;
    const { code, stdout, stderr } = await lab.berth(args, { signal, ...options });
    if (code !== 0) throw new Error(`berth ${args.join(" ")}: exit ${code}\n${stdout}${stderr}`);
  }

  #host(index: number): LabHost {
    const host = this.#berthLab.lab.hosts[index];
    if (host === undefined) throw new Error("the lab has too few hosts");
    return host;
  }
}

function replicasOn(api: DockerApi): Promise<readonly { readonly Id: string }[]> {
  const query = filters({ label: [berthLabel(STACK)], status: ["running"] });
  return api.get(`/containers/json?${query}`);
}
