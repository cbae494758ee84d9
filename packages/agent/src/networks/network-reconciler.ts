import type { AssignedNetwork, DnsEntry } from "@berth/proto";
import type { Logger } from "pino";
import type { NetworkBody } from "../core/networks/docker-network.js";
import type { LinkStep, NetworkStep } from "../core/networks/network-step.js";
import type { ObservedHostNetworks } from "../core/networks/observed-state.js";
import {
  type NetworkHost,
  type NetworkState,
  planHairpins,
  planNetwork,
  planRemovals,
} from "../core/networks/plan-network.js";
import { planVxlanFilter } from "../core/networks/vxlan-filter.js";
import { planWireguard } from "../core/networks/wireguard.js";
import type { Engine } from "../engine/engine.js";
import { EngineError, isEngineError } from "../engine/engine-error.js";
import type { NetworkDevices, WatchVxlanFilter } from "./host-networking.js";
import { PassSchedule } from "./pass-schedule.js";
import { ProblemLog } from "./problem-log.js";

/**
 * Maximum number of rounds in a pass. Creating an encrypted network takes two rounds, and a third one to verify it.
 * More rounds mean interference.
 */
const MAX_ROUNDS = 5;
const FIREWALL_PROBLEM = "Docker cannot create networks: its firewall rules are gone; restart Docker";

export interface NetworkReconcilerOptions {
  readonly engine: Pick<Engine, "networks" | "createNetwork" | "removeNetwork">;
  readonly devices: NetworkDevices;
  readonly watchVxlanFilter?: WatchVxlanFilter | undefined;
  readonly host: NetworkHost;
  readonly log: Logger;
  /** Called when the state of a network has changed. */
  readonly onChange: () => void;
}

/** Creates, repairs and removes this host's part of the overlay networks that its tasks use. */
export class NetworkReconciler {
  readonly #options: NetworkReconcilerOptions;
  readonly #problems: ProblemLog;
  readonly #schedule = new PassSchedule();
  #host: NetworkHost;
  #assigned: readonly AssignedNetwork[] = [];
  #dnsEntries: readonly DnsEntry[] = [];
  /** Whether the leader has sent all networks of this host. Before, no network is removed. */
  #isAssignmentComplete = false;
  #isEngineConnected = false;
  #states: ReadonlyMap<string, NetworkState> = new Map();
  /** Whether dockerd refused to remove a network because containers are connected to it. */
  #isRemovalBlocked = false;
  #filterWatch: { close(): void } | undefined;

  constructor(options: NetworkReconcilerOptions) {
    this.#options = options;
    this.#host = options.host;
    this.#problems = new ProblemLog(options.log);
  }

  /** The state of each assigned network, by network ID. */
  get states(): ReadonlyMap<string, NetworkState> {
    return this.#states;
  }

  /** Replaces the assigned networks. Other networks are removed once a complete set was assigned. */
  setNetworks(networks: readonly AssignedNetwork[], { isComplete }: { readonly isComplete: boolean }): void {
    this.#assigned = networks;
    this.#isAssignmentComplete ||= isComplete;
    this.requestReconcile();
  }

  /** Sets the DNS entries of all networks. Networks with a static forwarding database are planned from them. */
  setDnsEntries(entries: readonly DnsEntry[]): void {
    this.#dnsEntries = entries;
    if (this.#assigned.some(({ staticFdb }) => staticFdb)) this.requestReconcile();
  }

  setHost(host: NetworkHost): void {
    this.#host = host;
    this.requestReconcile();
  }

  engineConnected(): void {
    this.#isEngineConnected = true;
    this.requestReconcile();
  }

  engineDisconnected(): void {
    this.#isEngineConnected = false;
  }

  /** Called when a container may have started: its bridge port needs hairpin mode. */
  containerStarted(): void {
    if (this.#assigned.length > 0) this.#schedule.request("ports");
  }

  /** Called when a container has ended: a network that could not be removed or replaced may be unused now. */
  containerEnded(): void {
    const isWaiting = [...this.#states.values()].some(({ kind }) => kind === "waiting");
    if (this.#isRemovalBlocked || isWaiting) this.requestReconcile();
  }

  /** Reconciles as soon as the current pass has ended. */
  requestReconcile(): void {
    this.#schedule.request("full");
  }

  /** Reconciles until the signal is aborted. The networks remain. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const kind = await this.#schedule.waitForNextPass(signal);
      if (!this.#isEngineConnected || signal.aborted) continue;
      if (kind === "full") await this.#reconcile(signal);
      else await this.#setHairpins(signal);
    }
    this.#filterWatch?.close();
  }

  /**
   * Observes the bridge ports, and plans and executes their steps. A failure is repaired and reported by a full pass.
   */
  async #setHairpins(signal: AbortSignal): Promise<void> {
    try {
      const ports = await this.#options.devices.observePorts(signal);
      await this.#execute(planHairpins(ports), signal);
    } catch {
      if (!signal.aborted) this.requestReconcile();
    }
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    if (this.#assigned.length === 0 && !this.#isAssignmentComplete) return;
    this.#problems.startPass();
    try {
      for (let round = 0; round < MAX_ROUNDS; round += 1) {
        const hasChanged = await this.#runRound(signal);
        if (!hasChanged || this.#schedule.isFullPassRequested) break;
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#setWaitReason(this.#problems.add(undefined, error));
    }
    this.#schedule.recordResult({ hasSucceeded: this.#problems.isEmpty });
  }

  /**
   * Observes the host, plans, and executes the plan. Returns whether it changed anything: then another round follows.
   */
  async #runRound(signal: AbortSignal): Promise<boolean> {
    const observed = await this.#observe(signal);
    const assigned = this.#assigned;
    const hasChangedNetworks = await this.#updateNetworks(assigned, observed, signal);
    const hasRemovedNetworks = this.#isAssignmentComplete
      ? await this.#removeUnused(assigned, observed, signal)
      : false;
    await this.#execute(planHairpins(observed.links.values()), signal);
    return hasChangedNetworks || hasRemovedNetworks;
  }

  async #observe(signal: AbortSignal): Promise<ObservedHostNetworks> {
    const { engine, devices } = this.#options;
    const networks = await engine.networks({ signal });
    return { ...(await devices.observe(this.#host.address, signal)), networks };
  }

  /** Executes the plans of the assigned networks and sets their states. Returns whether it changed anything. */
  async #updateNetworks(
    assigned: readonly AssignedNetwork[],
    observed: ObservedHostNetworks,
    signal: AbortSignal,
  ): Promise<boolean> {
    const wireguardSteps = planWireguard(assigned, observed, this.#host);
    // A host that refuses all overlay networks has no tunnels either.
    const filterSteps = this.#host.overlayProblem === "" ? planVxlanFilter(assigned, observed) : [];
    const encryptionProblem = await this.#executeAll(wireguardSteps, undefined, signal);
    let hasChanged = wireguardSteps.length > 0 && encryptionProblem === undefined;
    const filterProblem = await this.#updateFilter(filterSteps, signal);
    hasChanged ||= filterSteps.length > 0 && filterProblem === undefined;
    const states = new Map<string, NetworkState>();
    for (const network of assigned) {
      const { state, steps } = planNetwork(network, observed, this.#host, this.#dnsEntries);
      if (filterProblem !== undefined && !network.spec?.encrypted && state.kind !== "refused") {
        states.set(network.id, { kind: "waiting", reason: filterProblem });
        continue;
      }
      const networkProblem = await this.#executeAll(steps, network, signal);
      const problem = (network.spec?.encrypted ? encryptionProblem : undefined) ?? networkProblem;
      states.set(network.id, problem === undefined ? state : { kind: "waiting", reason: problem });
      if (steps.length > 0 && problem === undefined) hasChanged = true;
    }
    this.#setStates(states);
    return hasChanged;
  }

  /** Executes the steps of the VXLAN filter, and watches its rules while there are any. Returns why it failed. */
  async #updateFilter(steps: readonly LinkStep[], signal: AbortSignal): Promise<string | undefined> {
    const { watchVxlanFilter, log } = this.#options;
    const problem = await this.#executeAll(steps, undefined, signal);
    const [step] = steps;
    if (step?.kind !== "set-vxlan-filter" || problem !== undefined) return problem;
    if (step.ruleset === "") {
      this.#filterWatch?.close();
      this.#filterWatch = undefined;
    } else {
      this.#filterWatch ??= watchVxlanFilter?.(() => this.requestReconcile(), log);
    }
    return undefined;
  }

  /** Removes networks and devices that no task uses. Returns whether it removed any. */
  async #removeUnused(
    assigned: readonly AssignedNetwork[],
    observed: ObservedHostNetworks,
    signal: AbortSignal,
  ): Promise<boolean> {
    this.#isRemovalBlocked = false;
    let hasRemoved = false;
    for (const step of planRemovals(assigned, observed)) {
      try {
        await this.#execute([step], signal);
        hasRemoved = true;
      } catch (error) {
        signal.throwIfAborted();
        if (isEngineError(error, "conflict")) this.#isRemovalBlocked = true;
        else this.#problems.add(undefined, error);
      }
    }
    return hasRemoved;
  }

  /**
   * Executes steps until one fails. Returns its error message.
   *
   * @param network undefined for steps of all networks
   */
  async #executeAll(
    steps: readonly NetworkStep[],
    network: AssignedNetwork | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    try {
      await this.#execute(steps, signal);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return this.#problems.add(network?.spec?.name, error);
    }
  }

  /** Executes the steps of dockerd first, and then the steps of the kernel together. */
  async #execute(steps: readonly NetworkStep[], signal: AbortSignal): Promise<void> {
    const { engine, devices, log } = this.#options;
    const linkSteps: LinkStep[] = [];
    for (const step of steps) {
      log.debug({ step }, "executing network step");
      switch (step.kind) {
        case "create-network":
          await this.#createNetwork(step.body, signal);
          break;
        case "remove-network":
          await engine.removeNetwork(step.dockerId, { signal });
          log.info({ dockerId: step.dockerId }, "network removed");
          break;
        default:
          linkSteps.push(step);
      }
    }
    if (linkSteps.length > 0) await devices.execute(linkSteps, signal);
  }

  /** @throws EngineError with advice if Docker's firewall rules are gone */
  async #createNetwork(body: NetworkBody, signal: AbortSignal): Promise<void> {
    const { engine, log } = this.#options;
    try {
      await engine.createNetwork(body, { signal });
    } catch (error) {
      if (!isEngineError(error, "firewall")) throw error;
      throw new EngineError(error.kind, `${FIREWALL_PROBLEM} (${error.message})`, error);
    }
    log.info({ network: body.Name }, "network created");
  }

  /**
   * Sets why networks are not ready after a pass that failed as a whole. Ready and refused networks keep their state.
   */
  #setWaitReason(reason: string): void {
    const states = new Map<string, NetworkState>();
    for (const { id } of this.#assigned) {
      const state = this.#states.get(id);
      states.set(id, state === undefined || state.kind === "waiting" ? { kind: "waiting", reason } : state);
    }
    this.#setStates(states);
  }

  #setStates(states: ReadonlyMap<string, NetworkState>): void {
    const hasChanged = JSON.stringify([...states]) !== JSON.stringify([...this.#states]);
    this.#states = states;
    if (hasChanged) this.#options.onChange();
  }
}
