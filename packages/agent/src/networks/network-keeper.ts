import { setTimeout as sleep } from "node:timers/promises";
import type { AssignedNetwork, DnsEntry } from "@berth/proto";
import type { Logger } from "pino";
import type { NetworkStep } from "../core/networks/network-step.js";
import {
  type NetworkHost,
  type NetworkState,
  type ObservedHostNetworks,
  planNetwork,
  planPorts,
  planRemovals,
} from "../core/networks/plan-network.js";
import { planWireguard } from "../core/networks/wireguard.js";
import type { Engine } from "../engine/engine.js";
import { isEngineError } from "../engine/engine-error.js";
import type { HostNetwork } from "./host-network.js";

/** Others may change a host's devices, and Docker's networks: repaired within this. */
const LOOK_AGAIN_MS = 30_000;
/** After something went wrong; it may be put right from outside. */
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;
/** A network is made in two rounds and looked at in a third; more in a row means that somebody works against us. */
const MAX_ROUNDS = 5;

export interface NetworkKeeperOptions {
  readonly engine: Pick<Engine, "networks" | "createNetwork" | "removeNetwork">;
  readonly devices: HostNetwork;
  readonly host: NetworkHost;
  readonly log: Logger;
  /** The state of a network changed. */
  readonly onChange: () => void;
}

/** Makes this host's part of the networks that its tasks use, and takes away what they use no longer. */
export class NetworkKeeper {
  readonly #options: NetworkKeeperOptions;
  #host: NetworkHost;
  #wanted: readonly AssignedNetwork[] = [];
  #names: readonly DnsEntry[] = [];
  #isSetComplete = false;
  #isEngineUp = false;
  #states: ReadonlyMap<string, NetworkState> = new Map();
  #problems = new Map<string, string>();
  #failures = 0;
  #isDue = false;
  /** Docker has kept a network that is to go, for its containers. */
  #isRemovalDue = false;
  #wake: () => void = () => {};

  constructor(options: NetworkKeeperOptions) {
    this.#options = options;
    this.#host = options.host;
  }

  /** Networks that tasks of this host use. Until a set is complete, others stay as they are. */
  assign(networks: readonly AssignedNetwork[], { isComplete }: { readonly isComplete: boolean }): void {
    this.#wanted = networks;
    this.#isSetComplete ||= isComplete;
    this.look();
  }

  /** Who is called what in all networks; of listed ones it says where each container is. */
  named(names: readonly DnsEntry[]): void {
    this.#names = names;
    if (this.#wanted.some(({ staticFdb: listed }) => listed)) this.look();
  }

  /** What the host can do has been found out, or has changed. */
  hostIs(host: NetworkHost): void {
    this.#host = host;
    this.look();
  }

  engineIsUp(): void {
    this.#isEngineUp = true;
    this.look();
  }

  engineIsAway(): void {
    this.#isEngineUp = false;
  }

  /** A container has begun, and its port may need something, or it is gone, perhaps as the last one of a network. */
  containerChanged(): void {
    if (this.#isRemovalDue || this.#wanted.length > 0) this.look();
  }

  /** Something may have changed on the host. */
  look(): void {
    this.#isDue = true;
    this.#wake();
  }

  /** By the id of the network. */
  get states(): ReadonlyMap<string, NetworkState> {
    return this.#states;
  }

  /** Works until the signal fires. Networks stay as they are then. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!this.#isDue) await this.#pause(signal);
      this.#isDue = false;
      if (this.#isEngineUp && !signal.aborted) await this.#settle(signal);
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const pause = new AbortController();
    const onAbort = (): void => pause.abort();
    this.#wake = onAbort;
    signal.addEventListener("abort", onAbort, { once: true });
    const retryMs = Math.min(RETRY_MIN_MS * 2 ** (this.#failures - 1), RETRY_MAX_MS);
    const pauseMs = this.#failures > 0 ? retryMs : LOOK_AGAIN_MS;
    await sleep(pauseMs, undefined, { signal: pause.signal }).catch(() => {});
    signal.removeEventListener("abort", onAbort);
    this.#wake = () => {};
  }

  async #settle(signal: AbortSignal): Promise<void> {
    if (this.#wanted.length === 0 && !this.#isSetComplete) return;
    const problems = new Map<string, string>();
    try {
      for (let round = 0; round < MAX_ROUNDS; round += 1) {
        const hasChanged = await this.#round(problems, signal);
        if (!hasChanged || this.#isDue) break;
      }
      this.#failures = problems.size > 0 ? this.#failures + 1 : 0;
    } catch (error) {
      if (signal.aborted) return;
      this.#failures += 1;
      this.#note("", problems, error);
    }
    this.#problems = problems;
  }

  /** Looks, decides and does; true: something was done, so that it is worth looking again. */
  async #round(problems: Map<string, string>, signal: AbortSignal): Promise<boolean> {
    const observed = await this.#observe(signal);
    const wanted = this.#wanted;
    const states = new Map<string, NetworkState>();
    const encryption = planWireguard(wanted, observed, this.#host);
    const encryptionProblem = await this.#runAll(encryption, "", problems, signal);
    let hasChanged = encryption.length > 0 && encryptionProblem === undefined;
    for (const network of wanted) {
      const { state, steps } = planNetwork(network, observed, this.#host, this.#names);
      const ownProblem = await this.#runAll(steps, network.id, problems, signal);
      const problem = (network.spec?.encrypted ? encryptionProblem : undefined) ?? ownProblem;
      states.set(network.id, problem === undefined ? state : { kind: "waiting", reason: problem });
      if (steps.length > 0 && problem === undefined) hasChanged = true;
    }
    if (this.#isSetComplete) {
      const removals = planRemovals(wanted, observed);
      this.#isRemovalDue = false;
      for (const step of removals) if (await this.#remove(step, problems, signal)) hasChanged = true;
    }
    for (const step of planPorts(observed)) await this.#tryTo(step, signal);
    this.#setStates(states);
    return hasChanged;
  }

  async #observe(signal: AbortSignal): Promise<ObservedHostNetworks> {
    const { engine, devices } = this.#options;
    const networks = await engine.networks({ signal });
    return { networks, ...(await devices.observe(this.#host.address, signal)) };
  }

  /** What went wrong, if anything did. */
  async #runAll(
    steps: readonly NetworkStep[],
    networkId: string,
    problems: Map<string, string>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    try {
      for (const step of steps) await this.#run(step, signal);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return this.#note(networkId, problems, error);
    }
  }

  /** What cannot be done now is seen again, if it still is to be done. */
  async #tryTo(step: NetworkStep, signal: AbortSignal): Promise<void> {
    try {
      await this.#run(step, signal);
    } catch {
      signal.throwIfAborted();
    }
  }

  /** True: it is gone. A network that containers are still in goes when they have gone. */
  async #remove(step: NetworkStep, problems: Map<string, string>, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#run(step, signal);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (isEngineError(error, "conflict")) this.#isRemovalDue = true;
      else this.#note("", problems, error);
      return false;
    }
  }

  async #run(step: NetworkStep, signal: AbortSignal): Promise<void> {
    const { engine, devices, log } = this.#options;
    log.debug({ step }, "network step");
    switch (step.kind) {
      case "create-network":
        await engine.createNetwork(step.body, { signal });
        log.info({ network: step.body.Name }, "made this host's part of a network");
        return;
      case "remove-network":
        await engine.removeNetwork(step.dockerId, { signal });
        log.info({ dockerId: step.dockerId }, "removed this host's part of a network");
        return;
      default:
        await devices.run(step, signal);
    }
  }

  /** Said once, however often it is tried. */
  #note(networkId: string, problems: Map<string, string>, error: unknown): string {
    const reason = error instanceof Error ? error.message : String(error);
    const name = this.#wanted.find(({ id }) => id === networkId)?.spec?.name;
    if (this.#problems.get(networkId) !== reason && problems.get(networkId) !== reason) {
      this.#options.log.warn({ network: name, reason }, "a network is not as it shall be");
    }
    problems.set(networkId, reason);
    return reason;
  }

  #setStates(states: ReadonlyMap<string, NetworkState>): void {
    const hasChanged = JSON.stringify([...states]) !== JSON.stringify([...this.#states]);
    this.#states = states;
    if (hasChanged) this.#options.onChange();
  }
}
