import {
  type AssignedNetwork,
  type DataPlane,
  type DnsEntry,
  type ReportedTask,
  TaskState,
} from "@berth/proto";
import type { Logger } from "pino";
import { mtuProblems } from "../core/networks/plan-network.js";
import { type NetworksView, NO_NETWORKS, networksView } from "../core/networks/task-networks.js";
import { isFinal } from "../core/tasks/status.js";
import type { Engine, EngineInfo } from "../engine/engine.js";
import { CapabilityReporter } from "./capability-reporter.js";
import type { HostNetworking } from "./host-networking.js";
import { NetworkReconciler } from "./network-reconciler.js";

/** Timeout of the commands that report capabilities, which finish within milliseconds. */
const REPORT_TIMEOUT_MS = 10_000;

export interface OverlayNetworksOptions {
  readonly networking: HostNetworking;
  readonly engine: Pick<Engine, "networks" | "createNetwork" | "removeNetwork">;
  /** The address at which the other hosts reach this host. */
  readonly address: string;
  readonly log: Logger;
  /** Called when the assigned networks or their states have changed. */
  readonly onChange: () => void;
  readonly onCapabilities: (capabilities: Partial<DataPlane>) => void;
  /** Called with all problems of networks on this host, each as a message for the user. */
  readonly onProblems: (problems: readonly string[]) => void;
}

/**
 * Manages the overlay networks that containers on this host use: receives them from the leader, keeps the host's Docker
 * networks and devices in line with them, and tells the task manager when containers can join.
 */
export class OverlayNetworks {
  readonly #options: OverlayNetworksOptions;
  readonly #capabilities: CapabilityReporter;
  readonly #reconciler: NetworkReconciler;
  #networks: readonly AssignedNetwork[] = [];
  #establishedIds: ReadonlySet<string> = new Set();
  #view: NetworksView = NO_NETWORKS;
  /** The last reported states of this node's tasks, by task ID. */
  readonly #taskStates = new Map<string, TaskState>();

  constructor(options: OverlayNetworksOptions) {
    const { networking, engine, address, log, onCapabilities } = options;
    this.#options = options;
    this.#capabilities = new CapabilityReporter({
      networking,
      address,
      onReport: (capabilities) => {
        this.#reportProblems();
        onCapabilities(capabilities);
      },
    });
    this.#reconciler = new NetworkReconciler({
      engine,
      devices: this.#capabilities.devices,
      watchVxlanFilter: networking.watchVxlanFilter,
      host: this.#capabilities.host,
      log,
      onChange: () => this.#updateView(),
    });
  }

  get networks(): readonly AssignedNetwork[] {
    return this.#networks;
  }

  /** Networks that are or were ready. Containers may use them even while their configuration is being repaired. */
  get established(): readonly AssignedNetwork[] {
    return this.#networks.filter(({ id }) => this.#establishedIds.has(id));
  }

  get view(): NetworksView {
    return this.#view;
  }

  /** Restores the networks that a previous run of the agent had. Other networks on the host are not removed yet. */
  restoreNetworks(networks: readonly AssignedNetwork[]): void {
    this.#establishedIds = new Set(networks.map(({ id }) => id));
    this.#setNetworks(networks, { isComplete: false });
  }

  /** Replaces the networks that tasks on this host use. Other networks on the host are removed. */
  setNetworks(networks: readonly AssignedNetwork[]): void {
    this.#setNetworks(networks, { isComplete: true });
  }

  /** Sets the DNS entries, which hold the hosts of all containers in networks with a static forwarding database. */
  setDnsEntries(entries: readonly DnsEntry[]): void {
    this.#reconciler.setDnsEntries(entries);
  }

  /** Examines the kernel and reports the host's capabilities. Call it before `run`. */
  async detectCapabilities(signal: AbortSignal): Promise<void> {
    await this.#capabilities.detectKernelSupport(signal);
    this.#reconciler.setHost(this.#capabilities.host);
    await this.#capabilities.report(signal);
  }

  engineConnected({ isolation }: EngineInfo): void {
    this.#capabilities.setIsolation(isolation);
    this.#reconciler.setHost(this.#capabilities.host);
    this.#reconciler.engineConnected();
    void this.#capabilities.report(AbortSignal.timeout(REPORT_TIMEOUT_MS));
  }

  engineDisconnected(): void {
    this.#reconciler.engineDisconnected();
  }

  /** Reconciles when a container has started or ended. Frequent reports without a change of state are ignored. */
  taskReported({ taskId, status, removed }: ReportedTask): void {
    const state = removed ? undefined : status?.state;
    if (this.#taskStates.get(taskId) === state) return;
    if (state === undefined) this.#taskStates.delete(taskId);
    else this.#taskStates.set(taskId, state);
    if (state === undefined || isFinal(status)) this.#reconciler.containerEnded();
    else if (state >= TaskState.STARTING) this.#reconciler.containerStarted();
  }

  taskForgotten(taskId: string): void {
    this.#taskStates.delete(taskId);
    this.#reconciler.containerEnded();
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#reconciler.run(signal), this.#capabilities.run(signal)]);
  }

  #setNetworks(networks: readonly AssignedNetwork[], options: { readonly isComplete: boolean }): void {
    this.#networks = networks;
    this.#reconciler.setNetworks(networks, options);
    this.#updateView();
  }

  #updateView(): void {
    const { states } = this.#reconciler;
    this.#view = networksView(this.#networks, states);
    const ready = this.#networks.filter(({ id }) => states.get(id)?.kind === "ready");
    this.#establishedIds = new Set([...this.established, ...ready].map(({ id }) => id));
    this.#options.onChange();
    this.#reportProblems();
  }

  #reportProblems(): void {
    const { address, onProblems } = this.#options;
    onProblems(mtuProblems(this.#networks, { uplinkMtu: this.#capabilities.uplinkMtu, address }));
  }
}
