import type { AssignedNetwork, DnsConfig, DnsEntry, IngressEntry, WaitingClients } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import type { Logger } from "pino";
import type { IngressStats } from "../dataplane/table/ingress-table.js";
import type { OverlayNetworks } from "../networks/overlay-networks.js";
import type { HostCondition } from "../node/node-description.js";
import { PeerWatch } from "../node/peers/peer-watch.js";
import type { Ticker } from "../runtime/ticker.js";
import type { KnownTasks } from "../tasks/task-records.js";
import { DnsSync } from "./dns-sync.js";
import { dnsConfigOf } from "./dns-table.js";
import { IngressConnection, type OpenedIngress, type OpenIngress } from "./ingress-connection.js";
import { IngressSync } from "./ingress-sync.js";
import { containerAddress, type LocalTaskLookup } from "./ingress-table.js";
import { retryUntilDone } from "./retry-until-done.js";
import { type TrafficTables, watchedPeers } from "./watched-peers.js";

/** The tables of one message of the leader. A table is undefined if the message did not change it. */
export interface TablesUpdate {
  readonly sequence: number;
  readonly ingress: readonly IngressEntry[] | undefined;
  readonly networks: readonly AssignedNetwork[] | undefined;
  readonly dnsEntries: readonly DnsEntry[] | undefined;
}

export interface DataPlaneClientOptions {
  readonly nodeId: string;
  /** The address at which other hosts reach this host. */
  readonly address: string;
  readonly openIngress: OpenIngress;
  /** Serves the ingress process's counters to Prometheus. Undefined without a listen address. */
  readonly serveMetrics:
    | ((stats: (signal: AbortSignal) => Promise<IngressStats>) => Promise<() => void>)
    | undefined;
  readonly peerProbe: Probe;
  readonly ticker: Ticker;
  readonly overlay: OverlayNetworks;
  readonly tasks: KnownTasks;
  readonly condition: HostCondition;
  /** The last tables that the previous run of the agent received. */
  readonly saved: TrafficTables;
  /** Called when clients of a service begin or cease to wait for a task on this node. */
  readonly onWaitingClients: (report: WaitingClients) => void;
  readonly log: Logger;
  /** Aborts all work, including the work outside `run`. */
  readonly signal: AbortSignal;
}

/**
 * Distributes the leader's tables on this node: published ports and DNS entries to the ingress process, networks to the
 * kernel, and the addresses of peer nodes to the peer watch.
 *
 * Accepts tables from the start, and applies them once the ingress process is open.
 */
export class DataPlaneClient {
  readonly #options: DataPlaneClientOptions;
  readonly #ingress: IngressConnection;
  readonly #ports: IngressSync;
  readonly #dns: DnsSync;
  readonly #peers: PeerWatch;
  #tables: TrafficTables;
  #hasLeaderTables = false;

  constructor(options: DataPlaneClientOptions) {
    const { nodeId, address, openIngress, overlay, tasks, condition, saved, peerProbe, ticker, log, signal } =
      options;
    this.#options = options;
    this.#tables = saved;
    this.#ingress = new IngressConnection({
      openIngress,
      condition,
      onOpened: (ingress) => this.#onIngressOpened(ingress),
      log,
    });
    this.#ports = new IngressSync({
      apply: (table, inner) => this.#ingress.applyTable(table, inner),
      local: localTasks({ nodeId, address }, tasks),
      log: log.child({ part: "ingress" }),
      signal,
    });
    this.#dns = new DnsSync({
      apply: (config, inner) => this.#ingress.updateDns(config, inner),
      collect: () => this.#dnsConfig(),
      isPaused: true,
      log: log.child({ part: "dns" }),
      signal,
    });
    this.#peers = new PeerWatch({
      probe: peerProbe,
      ticker,
      onChange: (silent) => void this.#setSuspectNodes([...silent]),
      log: log.child({ part: "peers" }),
      signal,
    });
    this.#peers.watch(watchedPeers(saved, nodeId));
    overlay.setDnsEntries(saved.dnsEntries);
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

  /** Runs until the signal is aborted. Rejects when the metrics address cannot be used. */
  async run(signal: AbortSignal): Promise<void> {
    const stopMetrics = await this.#options.serveMetrics?.((inner) => this.stats(inner));
    try {
      await Promise.all([this.#ingress.run(signal), this.#runNetworks(signal)]);
    } finally {
      stopMetrics?.();
    }
  }

  /** Disconnects from the ingress process, which continues to serve its tables. */
  close(): void {
    this.#ingress.close();
  }

  /** Resets the sequence of assignments, because each leader counts from the start. */
  resetSequence(): void {
    this.#ports.resetSequence();
  }

  /** Applies the networks of a message. Called before the message's tasks are assigned. */
  updateNetworks({ networks, dnsEntries }: Pick<TablesUpdate, "networks" | "dnsEntries">): void {
    const { overlay } = this.#options;
    if (networks !== undefined) {
      this.#tables = { ...this.#tables, networks };
      overlay.setNetworks(networks);
    }
    if (dnsEntries !== undefined) overlay.setDnsEntries(dnsEntries);
  }

  /** Applies the published ports and DNS entries of a message. Called after `updateNetworks`. */
  updateTables({ sequence, ingress, networks, dnsEntries }: TablesUpdate): void {
    const current = this.#tables;
    this.#hasLeaderTables = true;
    this.#tables = {
      ...current,
      ingress: ingress ?? current.ingress,
      dnsEntries: dnsEntries ?? current.dnsEntries,
    };
    this.#ports.update(sequence, ingress);
    if (dnsEntries !== undefined) this.#dns.resume();
    if ((ingress ?? networks ?? dnsEntries) === undefined) return;
    void this.#watchPeers(sequence);
  }

  /**
   * Updates the watched peers. A silent peer that is no longer in the tables stays a suspect until the ingress process
   * has the new tables. Otherwise, the process would send it connections in the meantime.
   */
  async #watchPeers(sequence: number): Promise<void> {
    await this.whenApplied(sequence);
    this.#peers.watch(watchedPeers(this.#tables, this.#options.nodeId));
  }

  /**
   * Resolves with true when traffic follows the tables of this sequence, or with false if the ingress process did not
   * accept them.
   */
  async whenApplied(sequence: number): Promise<boolean> {
    const [ports, dns] = await Promise.all([this.#ports.whenApplied(sequence), this.#dns.whenApplied()]);
    return ports && dns;
  }

  /** Called when a task's status has changed, on which the route to its container and its DNS queries depend. */
  onTaskReported(): void {
    this.#updateDnsClients();
    this.#ports.refreshLocalTasks();
  }

  /** Called when nothing of a task remains. */
  onTaskForgotten(): void {
    this.#updateDnsClients();
  }

  /** Called when the state of a network changed. */
  onNetworksChanged(): void {
    this.#dns.scheduleUpdate();
  }

  /** Reads the counters of the ingress process. Rejects before the process is open. */
  stats(signal: AbortSignal): Promise<IngressStats> {
    return this.#ingress.stats(signal);
  }

  #onIngressOpened(ingress: OpenedIngress): void {
    ingress.setFallback(() => ({ table: this.#ports.tableOf(this.#tables.ingress), dns: this.#dnsConfig() }));
    ingress.watchWaitingClients(this.#options.onWaitingClients);
    // A process that was serving before this agent started has newer tables than the disk. It keeps them.
    if (!this.#hasLeaderTables && !ingress.isServing) this.#restoreTables();
    // Retries what timed out before the process was open.
    this.#ports.refreshLocalTasks();
    this.#dns.scheduleUpdate();
  }

  #restoreTables(): void {
    if (this.#tables.ingress.length > 0) this.#ports.update(0, this.#tables.ingress);
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

  /**
   * Updates the containers that may send DNS queries. A node without networks and without such containers needs none.
   */
  #updateDnsClients(): void {
    if (this.#options.overlay.networks.length > 0 || this.#dns.hasClients) this.#dns.scheduleUpdate();
  }

  #dnsConfig(): DnsConfig {
    const { overlay, tasks } = this.#options;
    return dnsConfigOf({
      networks: overlay.established,
      entries: this.#tables.dnsEntries,
      tasks: tasks.networkedTasks(),
    });
  }

  /** Moves new connections away from these nodes. */
  async #setSuspectNodes(nodeIds: readonly string[]): Promise<void> {
    const { log, signal } = this.#options;
    try {
      await this.#ingress.setSuspectNodes(nodeIds, signal);
    } catch (error) {
      if (!signal.aborted) {
        log.warn({ err: error, nodeIds }, "cannot report suspect nodes to ingress process");
      }
    }
  }
}

function localTasks(node: Pick<LocalTaskLookup, "nodeId" | "address">, tasks: KnownTasks): LocalTaskLookup {
  return {
    ...node,
    addressOf: (endpoint, protocol) =>
      containerAddress(endpoint, protocol, tasks.containerOf(endpoint.taskId)),
    hasEnded: ({ taskId }) => tasks.hasEnded(taskId),
  };
}
