import { setTimeout as sleep } from "node:timers/promises";
import type { AssignedNetwork, DataPlane, DnsEntry, ReportedTask, TaskState } from "@berth/proto";
import type { Logger } from "pino";
import { overlayMtu } from "../core/networks/devices.js";
import { neighbourhoods } from "../core/networks/host-routes.js";
import { type NetworksView, NO_NETWORKS, networksView } from "../core/networks/networks-view.js";
import type { ObservedLinks } from "../core/networks/observed-links.js";
import { mtuProblems, type NetworkHost } from "../core/networks/plan-network.js";
import type { Engine, EngineInfo } from "../engine/engine.js";
import type { OverlayKernel } from "./examine-kernel.js";
import type { HostNetwork } from "./host-network.js";
import { NetworkKeeper } from "./network-keeper.js";

/** What of its host an agent needs for networks over hosts. */
export interface OverlayEdge {
  /** Of this host's WireGuard key. */
  readonly wireguardPublicKey: string;
  readonly devices: HostNetwork;
  examineKernel(signal: AbortSignal): Promise<OverlayKernel>;
}

export interface OverlayOptions {
  readonly edge: OverlayEdge;
  readonly engine: Pick<Engine, "networks" | "createNetwork" | "removeNetwork">;
  /** Where the other hosts reach this one. */
  readonly address: string;
  readonly log: Logger;
  /** A network has come further, or there are others. */
  readonly onChange: () => void;
  readonly onAbility: (ability: Partial<DataPlane>) => void;
  /** What is wrong with networks on this host, a sentence each; all of it, each time. */
  readonly onProblems: (problems: readonly string[]) => void;
}

/** The networks over hosts in which containers of this host are. */
export class Overlay {
  readonly #options: OverlayOptions;
  readonly #keeper: NetworkKeeper;
  #networks: readonly AssignedNetwork[] = [];
  /** Ids of those that are, or have been, ready. */
  #established: ReadonlySet<string> = new Set();
  readonly #phases = new Map<string, TaskState>();
  #view: NetworksView = NO_NETWORKS;
  #kernel: OverlayKernel = { refusal: "", encryptionRefusal: "" };
  #isExamined = false;
  #enclosure = "";
  #observed: ObservedLinks | undefined;

  constructor(options: OverlayOptions) {
    this.#options = options;
    this.#keeper = new NetworkKeeper({
      engine: options.engine,
      devices: options.edge.devices,
      host: this.#host,
      log: options.log,
      onChange: () => this.#changed(),
    });
  }

  get networks(): readonly AssignedNetwork[] {
    return this.#networks;
  }

  /** Networks in which containers may be already, also while something about them is put right. */
  get established(): readonly AssignedNetwork[] {
    return this.#networks.filter(({ id }) => this.#established.has(id));
  }

  get view(): NetworksView {
    return this.#view;
  }

  /** What an earlier run of the agent was told. */
  restore(networks: readonly AssignedNetwork[]): void {
    this.#established = new Set(networks.map(({ id }) => id));
    this.#assign(networks, { isComplete: false });
  }

  /** All networks that tasks of this host use. */
  assign(networks: readonly AssignedNetwork[]): void {
    this.#assign(networks, { isComplete: true });
  }

  /** Who is called what in these networks, and where the containers of listed ones are. */
  named(names: readonly DnsEntry[]): void {
    this.#keeper.named(names);
  }

  /** Finds out what this host can do. To be called before `run`. */
  async examine(signal: AbortSignal): Promise<void> {
    const { edge } = this.#options;
    try {
      this.#kernel = await edge.examineKernel(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    this.#isExamined = !signal.aborted;
    this.#keeper.hostIs(this.#host);
    await this.#tellAbility(signal);
  }

  engineIsUp({ enclosure }: EngineInfo): void {
    this.#enclosure = enclosure;
    this.#keeper.hostIs(this.#host);
    this.#keeper.engineIsUp();
    void this.#tellAbility(AbortSignal.timeout(ABILITY_TIMEOUT_MS));
  }

  engineIsAway(): void {
    this.#keeper.engineIsAway();
  }

  /** What a task's healthcheck says changes often; its container begins and ends once. */
  taskReported({ taskId, status, removed }: ReportedTask): void {
    const phase = removed ? undefined : status?.state;
    if (this.#phases.get(taskId) === phase) return;
    if (phase === undefined) this.#phases.delete(taskId);
    else this.#phases.set(taskId, phase);
    this.#keeper.containerChanged();
  }

  taskForgotten(taskId: string): void {
    this.#phases.delete(taskId);
    this.#keeper.containerChanged();
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#keeper.run(signal), this.#keepTelling(signal)]);
  }

  async #keepTelling(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(TELL_AGAIN_MS, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.#tellAbility(signal);
    }
  }

  get #host(): NetworkHost {
    const { refusal, encryptionRefusal } = this.#kernel;
    const enclosed = this.#enclosure && `${this.#enclosure} keeps containers off the host's network devices`;
    const { address, edge } = this.#options;
    const { wireguardPublicKey } = edge;
    return { address, refusal: enclosed || refusal, encryptionRefusal, wireguardPublicKey };
  }

  #assign(networks: readonly AssignedNetwork[], options: { readonly isComplete: boolean }): void {
    this.#networks = networks;
    this.#keeper.assign(networks, options);
    this.#changed();
  }

  #changed(): void {
    const { states } = this.#keeper;
    this.#view = networksView(this.#networks, states);
    const ready = this.#networks.filter(({ id }) => states.get(id)?.kind === "ready");
    const ids = [...this.established, ...ready].map(({ id }) => id);
    this.#established = new Set(ids);
    this.#options.onChange();
    this.#tellProblems();
  }

  #tellProblems(): void {
    const { address, onProblems } = this.#options;
    onProblems(mtuProblems(this.#networks, { uplinkMtu: this.#observed?.uplinkMtu ?? 0, address }));
  }

  async #tellAbility(signal: AbortSignal): Promise<void> {
    // Docker may be connected first: until the kernel is examined, the last known ability holds.
    if (!this.#isExamined) return;
    const { edge, address, onAbility } = this.#options;
    const { refusal, encryptionRefusal } = this.#host;
    // Programs that were too slow once take nothing away from a host.
    this.#observed = await edge.devices.observe(address, signal).catch(() => this.#observed);
    const uplinkMtu = this.#observed?.uplinkMtu ?? 0;
    this.#tellProblems();
    const reason = refusal || (uplinkMtu === 0 ? `no device of this host has its address ${address}` : "");
    const isIpv6 = address.includes(":");
    onAbility({
      overlay: reason === "",
      overlayReason: reason,
      overlayMtu: uplinkMtu === 0 ? 0 : overlayMtu(uplinkMtu, { isIpv6, isEncrypted: false }),
      wireguardPublicKey: encryptionRefusal === "" ? edge.wireguardPublicKey : "",
      wireguardReason: encryptionRefusal,
      subnets: neighbourhoods(this.#observed?.routes ?? []),
    });
  }
}

/** Interfaces, and local networks of Docker, come and go: none of ours may cover one, nor be kept off for one that is gone. */
const TELL_AGAIN_MS = 60_000;
/** A few programs that answer within milliseconds. */
const ABILITY_TIMEOUT_MS = 10_000;
