import { setTimeout as sleep } from "node:timers/promises";
import type { AssignedNetwork, DnsEntry } from "@berth/proto";
import type { Logger } from "pino";
import type { NetworkStep } from "../core/networks/network-step.js";
import type { ObservedHostNetworks } from "../core/networks/observed-state.js";
import {
  type NetworkHost,
  type NetworkState,
  planHairpins,
  planNetwork,
  planRemovals,
} from "../core/networks/plan-network.js";
import { planWireguard } from "../core/networks/wireguard.js";
import type { Engine } from "../engine/engine.js";
import { isEngineError } from "../engine/engine-error.js";
import type { NetworkDevices } from "./host-networking.js";

/** Repairs changes that other programs made to the host's devices or to Docker's networks. */
const RESYNC_INTERVAL_MS = 30_000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;
/** Creating a network takes two rounds, and a third one to verify it. More mean that another program interferes. */
const MAX_ROUNDS = 5;

export interface NetworkReconcilerOptions {
  readonly engine: Pick<Engine, "networks" | "createNetwork" | "removeNetwork">;
  readonly devices: NetworkDevices;
  readonly host: NetworkHost;
  readonly log: Logger;
  /** Called when the state of a network has changed. */
  readonly onChange: () => void;
}

/** Creates, repairs and removes this host's part of the overlay networks that its tasks use. */
export class NetworkReconciler {
  readonly #options: NetworkReconcilerOptions;
  readonly #problems: ProblemLog;
  #host: NetworkHost;
  #assigned: readonly AssignedNetwork[] = [];
  #dnsEntries: readonly DnsEntry[] = [];
  /** Whether the leader has sent all networks of this host. Before, no network is removed. */
  #isAssignmentComplete = false;
  #isEngineConnected = false;
  #states: ReadonlyMap<string, NetworkState> = new Map();
  #consecutiveFailures = 0;
  #isRequested = false;
  /** Whether dockerd refused to remove a network because containers are connected to it. */
  #isRemovalBlocked = false;
  #wake: () => void = () => {};

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

  /** A container has started, and its bridge port may need hairpin mode, or it has ended, perhaps as the last of a network. */
  containerChanged(): void {
    if (this.#isRemovalBlocked || this.#assigned.length > 0) this.requestReconcile();
  }

  /** Reconciles as soon as the current pass has ended. */
  requestReconcile(): void {
    this.#isRequested = true;
    this.#wake();
  }

  /** Reconciles until the signal fires. The networks remain. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!this.#isRequested) await this.#pause(signal);
      this.#isRequested = false;
      if (this.#isEngineConnected && !signal.aborted) await this.#reconcile(signal);
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const pause = new AbortController();
    const onAbort = (): void => pause.abort();
    this.#wake = onAbort;
    signal.addEventListener("abort", onAbort, { once: true });
    const retryMs = Math.min(RETRY_MIN_MS * 2 ** (this.#consecutiveFailures - 1), RETRY_MAX_MS);
    const pauseMs = this.#consecutiveFailures > 0 ? retryMs : RESYNC_INTERVAL_MS;
    await sleep(pauseMs, undefined, { signal: pause.signal }).catch(() => {});
    signal.removeEventListener("abort", onAbort);
    this.#wake = () => {};
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    if (this.#assigned.length === 0 && !this.#isAssignmentComplete) return;
    this.#problems.startPass();
    try {
      for (let round = 0; round < MAX_ROUNDS; round += 1) {
        const hasChanged = await this.#runRound(signal);
        if (!hasChanged || this.#isRequested) break;
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#problems.add(undefined, error);
    }
    this.#consecutiveFailures = this.#problems.isEmpty ? 0 : this.#consecutiveFailures + 1;
  }

  /** Observes the host, plans, and executes the plan. Returns whether it changed anything: then another round follows. */
  async #runRound(signal: AbortSignal): Promise<boolean> {
    const observed = await this.#observe(signal);
    const assigned = this.#assigned;
    const hasChangedNetworks = await this.#updateNetworks(assigned, observed, signal);
    const hasRemovedNetworks = this.#isAssignmentComplete
      ? await this.#removeUnused(assigned, observed, signal)
      : false;
    for (const step of planHairpins(observed)) {
      // Fails when the container has just ended. Otherwise, the next observation finds it again.
      await this.#execute(step, signal).catch(() => signal.throwIfAborted());
    }
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
    const encryptionProblem = await this.#executeAll(wireguardSteps, undefined, signal);
    let hasChanged = wireguardSteps.length > 0 && encryptionProblem === undefined;
    const states = new Map<string, NetworkState>();
    for (const network of assigned) {
      const { state, steps } = planNetwork(network, observed, this.#host, this.#dnsEntries);
      const networkProblem = await this.#executeAll(steps, network, signal);
      const problem = (network.spec?.encrypted ? encryptionProblem : undefined) ?? networkProblem;
      states.set(network.id, problem === undefined ? state : { kind: "waiting", reason: problem });
      if (steps.length > 0 && problem === undefined) hasChanged = true;
    }
    this.#setStates(states);
    return hasChanged;
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
        await this.#execute(step, signal);
        hasRemoved = true;
      } catch (error) {
        signal.throwIfAborted();
        if (isEngineError(error, "conflict")) this.#isRemovalBlocked = true;
        else this.#problems.add(undefined, error);
      }
    }
    return hasRemoved;
  }

  /** Executes steps until one fails. Returns its error message. @param network undefined for steps of all networks */
  async #executeAll(
    steps: readonly NetworkStep[],
    network: AssignedNetwork | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    try {
      for (const step of steps) await this.#execute(step, signal);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return this.#problems.add(network?.spec?.name, error);
    }
  }

  async #execute(step: NetworkStep, signal: AbortSignal): Promise<void> {
    const { engine, devices, log } = this.#options;
    log.debug({ step }, "executing network step");
    switch (step.kind) {
      case "create-network":
        await engine.createNetwork(step.body, { signal });
        log.info({ network: step.body.Name }, "network created");
        return;
      case "remove-network":
        await engine.removeNetwork(step.dockerId, { signal });
        log.info({ dockerId: step.dockerId }, "network removed");
        return;
      default:
        await devices.run(step, signal);
    }
  }

  #setStates(states: ReadonlyMap<string, NetworkState>): void {
    const hasChanged = JSON.stringify([...states]) !== JSON.stringify([...this.#states]);
    this.#states = states;
    if (hasChanged) this.#options.onChange();
  }
}

/** Collects the problems of one pass, and logs those that the previous pass did not have. */
class ProblemLog {
  readonly #log: Logger;
  #previous: ReadonlySet<string> = new Set();
  #current = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  get isEmpty(): boolean {
    return this.#current.size === 0;
  }

  startPass(): void {
    this.#previous = this.#current;
    this.#current = new Set();
  }

  /** Adds a problem and returns its message. @param network undefined when it does not concern a single network */
  add(network: string | undefined, error: unknown): string {
    const reason = error instanceof Error ? error.message : String(error);
    const key = `${network ?? ""} ${reason}`;
    const isKnown = this.#previous.has(key) || this.#current.has(key);
    if (!isKnown) this.#log.warn({ network, reason }, "network reconciliation failed");
    this.#current.add(key);
    return reason;
  }
}
