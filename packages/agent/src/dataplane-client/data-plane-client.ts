import { setTimeout as sleep } from "node:timers/promises";
import {
  type AssignedNetwork,
  BerthError,
  type DnsConfig,
  type DnsEntry,
  type IngressEntry,
} from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import type { IngressStats } from "../dataplane/table/ingress-table.js";
import type { OverlayNetworks } from "../networks/overlay-networks.js";
import type { HostCondition } from "../node/node-description.js";
import { PeerWatch } from "../node/peers/peer-watch.js";
import { raceSignal } from "../runtime/race-signal.js";
import type { Ticker } from "../runtime/ticker.js";
import type { KnownTasks } from "../tasks/task-records.js";
import { DnsSync } from "./dns-sync.js";
import { dnsConfigOf } from "./dns-table.js";
import type { IngressClient } from "./ingress-client.js";
import { IngressSync } from "./ingress-sync.js";
import { containerAddress } from "./ingress-table.js";
import { watchIngress } from "./ingress-watch.js";
import { type TrafficTables, watchedPeers } from "./watched-peers.js";

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 30_000;

type OpenedIngress = Omit<IngressClient, "stop">;

/** The tables of one message of the leader. A table is undefined when the message did not change it. */
export interface TablesUpdate {
  readonly sequence: number;
  readonly ingress: readonly IngressEntry[] | undefined;
  readonly networks: readonly AssignedNetwork[] | undefined;
  readonly dnsEntries: readonly DnsEntry[] | undefined;
}

export interface DataPlaneClientOptions {
  readonly nodeId: string;
  /** Finds or starts the ingress process. */
  readonly openIngress: (log: Logger, signal: AbortSignal) => Promise<OpenedIngress>;
  /** Serves the ingress process's counters to Prometheus. Undefined without a listen address. */
  readonly serveMetrics:
    | ((stats: (signal: AbortSignal) => Promise<IngressStats>) => Promise<() => void>)
    | undefined;
  readonly peerProbe: Probe;
  readonly ticker: Ticker;
  readonly overlay: OverlayNetworks;
  readonly tasks: KnownTasks;
  readonly condition: HostCondition;
  /** The tables that an earlier run of the agent received last. */
  readonly saved: TrafficTables;
  readonly log: Logger;
  /** Ends all work, including that outside `run`. */
  readonly signal: AbortSignal;
}

/**
 * Brings the leader's tables to the ingress process and the host's networks, and watches the hosts that traffic goes to.
 *
 * Tables are accepted from the start. They are applied once the ingress process has been found or started, which is
 * retried for as long as it fails: nothing else on the node waits for it.
 */
export class DataPlaneClient {
  readonly #options: DataPlaneClientOptions;
  #markOpened: (ingress: OpenedIngress) => void = () => {};
  readonly #opened = new Promise<OpenedIngress>((resolve) => {
    this.#markOpened = resolve;
  });
  readonly #ports: IngressSync;
  readonly #dns: DnsSync;
  readonly #peers: PeerWatch;
  #ingress: OpenedIngress | undefined;
  #tables: TrafficTables;
  #hasLeaderTables = false;

  constructor(options: DataPlaneClientOptions) {
    const { nodeId, overlay, tasks, saved, peerProbe, ticker, log, signal } = options;
    this.#options = options;
    this.#tables = saved;
    this.#ports = new IngressSync({
      apply: async (table, inner) => (await raceSignal(this.#opened, inner)).apply(table, inner),
      local: {
        nodeId,
        addressOf: (endpoint, protocol) =>
          containerAddress(endpoint, protocol, tasks.containerOf(endpoint.taskId)),
        hasEnded: ({ taskId }) => tasks.hasEnded(taskId),
      },
      log: log.child({ part: "ingress" }),
      signal,
    });
    this.#dns = new DnsSync({
      apply: async (table, inner) => (await raceSignal(this.#opened, inner)).updateDns(table, inner),
      collect: () => this.#dnsConfig(),
      isPaused: true,
      log: log.child({ part: "dns" }),
      signal,
    });
    this.#peers = new PeerWatch({
      probe: peerProbe,
      ticker: ticker,
      onChange: (silent) => void this.#suspect([...silent]),
      log: log.child({ part: "peers" }),
      signal,
    });
    this.#peers.watch(watchedPeers(saved, nodeId));
    overlay.setDnsEntries(saved.names);
    if (saved.networks.length > 0) overlay.restoreNetworks(saved.networks);
  }

  /** The tables that the leader sent last, for the state file. */
  get tables(): TrafficTables {
    return this.#tables;
  }

  /** The sequence up to which assignments are applied. */
  get appliedSequence(): number {
    return this.#ports.appliedSequence;
  }

  /** Runs until the signal fires. Rejects when the metrics address cannot be used. */
  async run(signal: AbortSignal): Promise<void> {
    const stopMetrics = await this.#options.serveMetrics?.((inner) => this.stats(inner));
    try {
      await Promise.all([this.#runIngress(signal), this.#runNetworks(signal)]);
    } finally {
      stopMetrics?.();
    }
  }

  /** Disconnects from the ingress process, which continues to serve its tables. */
  close(): void {
    this.#ingress?.close();
  }

  /** A new leader counts its sequences from the start. */
  resetSequence(): void {
    this.#ports.resetSequence();
  }

  /** Applies the networks of a message. Called before its tasks are assigned. */
  updateNetworks({ networks, dnsEntries }: Pick<TablesUpdate, "networks" | "dnsEntries">): void {
    if (networks !== undefined) {
      this.#tables = { ...this.#tables, networks };
      this.#options.overlay.setNetworks(networks);
    }
    if (dnsEntries !== undefined) this.#options.overlay.setDnsEntries(dnsEntries);
  }

  /** Applies the published ports and DNS entries of a message. */
  updateTables({ sequence, ingress, networks, dnsEntries }: TablesUpdate): void {
    this.#hasLeaderTables = true;
    this.#ports.update(sequence, ingress);
    const { table, names } = this.#tables;
    this.#tables = { ...this.#tables, table: ingress ?? table, names: dnsEntries ?? names };
    if (dnsEntries !== undefined) this.#dns.resume();
    if ((ingress ?? networks ?? dnsEntries) === undefined) return;
    this.#peers.watch(watchedPeers(this.#tables, this.#options.nodeId));
  }

  /** Resolves with true once traffic follows the tables as of this sequence, and with false when they were not applied. */
  async whenApplied(sequence: number): Promise<boolean> {
    const [ports, dns] = await Promise.all([this.#ports.whenApplied(sequence), this.#dns.whenApplied()]);
    return ports && dns;
  }

  /** A task's status changed, and with it perhaps the route to its container or the containers that use DNS. */
  onTaskReported(): void {
    this.onTaskForgotten();
    this.#ports.refreshLocalTasks();
  }

  onTaskForgotten(): void {
    if (this.#options.overlay.networks.length > 0 || this.#dns.hasClients) this.#dns.scheduleUpdate();
  }

  /** The state of a network changed. */
  onNetworksChanged(): void {
    this.#dns.scheduleUpdate();
  }

  /** Reads the ingress process's counters. Rejects while there is no process. */
  async stats(signal: AbortSignal): Promise<IngressStats> {
    if (this.#ingress !== undefined) return this.#ingress.stats(signal);
    throw new BerthError({ code: "BERTH_INGRESS_FAILED", message: "the ingress process is not running yet" });
  }

  async #runIngress(signal: AbortSignal): Promise<void> {
    const { openIngress, condition, log } = this.#options;
    const ingressLog = log.child({ part: "ingress" });
    const ingress = await retryUntilDone(() => openIngress(ingressLog, signal), {
      onFailure: (reason) => {
        log.error({ reason }, "cannot start ingress process; retrying");
        condition.setIngressProblems([`published ports do not work on this host: ${reason}`]);
      },
      signal,
    });
    if (ingress === undefined) return;
    this.#ingress = ingress;
    ingress.setFallback(() => ({ table: this.#ports.tableOf(this.#tables.table), dns: this.#dnsConfig() }));
    // A process that was serving before this agent started has newer tables than the disk. It keeps them.
    if (!this.#hasLeaderTables && !ingress.isServing) this.#restoreTables();
    this.#markOpened(ingress);
    // Applies again what timed out while there was no process.
    this.#ports.refreshLocalTasks();
    this.#dns.scheduleUpdate();
    await watchIngress({
      status: (inner) => ingress.status(inner),
      onProblems: (problems) => condition.setIngressProblems(problems),
      onPath: ({ kernel, reason }) => condition.updateDataPlane({ kernel, kernelReason: reason }),
      signal,
    });
  }

  #restoreTables(): void {
    if (this.#tables.table.length > 0) this.#ports.update(0, this.#tables.table);
    this.#dns.resume();
  }

  async #runNetworks(signal: AbortSignal): Promise<void> {
    const { overlay, condition, log } = this.#options;
    await retryUntilDone(() => overlay.detectCapabilities(signal), {
      onFailure: (reason) => {
        log.error({ reason }, "cannot examine the kernel; retrying");
        condition.setNetworkProblems([`networks do not work on this host: ${reason}`]);
      },
      signal,
    });
    await overlay.run(signal);
  }

  #dnsConfig(): DnsConfig {
    const { overlay, tasks } = this.#options;
    return dnsConfigOf({
      networks: overlay.established,
      entries: this.#tables.names,
      tasks: tasks.networkedTasks(),
    });
  }

  /** Moves new connections away from these nodes. The client repeats it to a process that is restarted later. */
  async #suspect(nodeIds: readonly string[]): Promise<void> {
    const { log, signal } = this.#options;
    try {
      const ingress = await raceSignal(this.#opened, signal);
      await ingress.setSuspectNodes(nodeIds, signal);
    } catch (error) {
      if (!signal.aborted)
        log.warn({ err: error, nodeIds }, "cannot report suspect nodes to ingress process");
    }
  }
}

/** Retries with exponential back-off until the effect succeeds. Returns undefined when the signal fires before. */
async function retryUntilDone<T>(
  effect: () => Promise<T>,
  { onFailure, signal }: { readonly onFailure: (reason: string) => void; readonly signal: AbortSignal },
): Promise<T | undefined> {
  for (let delayMs = RETRY_MIN_MS; !signal.aborted; delayMs = Math.min(2 * delayMs, RETRY_MAX_MS)) {
    try {
      return await effect();
    } catch (error) {
      if (signal.aborted) return undefined;
      onFailure(error instanceof Error ? error.message : String(error));
      await sleep(delayMs, undefined, { signal }).catch(() => {});
    }
  }
  return undefined;
}
