import {
  type AssignedNetwork,
  type Assignments,
  BerthError,
  type DnsEntry,
  type IngressEntry,
  type MeasureUsage,
  type ProbeRequest,
  type ProbeResult,
  type TrafficReport,
  type TrafficRequest,
  type Welcome,
} from "@berth/proto";
import type { Logger } from "pino";
import type { IngressStats } from "../dataplane/table/ingress-table.js";
import type { DnsSync } from "../dataplane-client/dns-sync.js";
import type { IngressSync } from "../dataplane-client/ingress-sync.js";
import { watchedPeers } from "../dataplane-client/watched-peers.js";
import type { Overlay } from "../networks/overlay.js";
import type { PeerWatch } from "../node/peers/peer-watch.js";
import type { Probing } from "../node/probe/probing.js";
import type { UsageMeter } from "../node/usage/usage-meter.js";
import type { ExecRelay } from "../streams/exec-relay.js";
import type { LogRelay } from "../streams/log-relay.js";
import type { StatsRelay } from "../streams/stats-relay.js";
import { trafficReport } from "../streams/traffic-report.js";
import type { TaskManager } from "../tasks/task-manager.js";
import { AssignmentSet } from "./assignment-set.js";
import type { Fence } from "./fence.js";
import type { SessionHandler } from "./session.js";

/** People look one at a time. */
const MAX_TRAFFIC_ASKED = 8;

export interface LeaderMessageHandlerOptions {
  readonly worker: Pick<TaskManager, "assign">;
  readonly nodeId: string;
  readonly ingress: IngressSync;
  readonly overlay: Pick<Overlay, "assign" | "named">;
  readonly nameSync: Pick<DnsSync, "resume" | "applied">;
  readonly peers: Pick<PeerWatch, "watch">;
  readonly logs: LogRelay;
  readonly execs: ExecRelay;
  readonly loads: StatsRelay;
  /** Of the ingress process. */
  readonly stats: () => Promise<Pick<IngressStats, "listeners" | "vips" | "version">>;
  readonly probing: Probing;
  readonly fence: Fence;
  readonly meter: Pick<UsageMeter, "watch" | "stop">;
  readonly log: Logger;
  /** The highest epoch and the last table that an earlier run of the agent has seen. */
  readonly epoch: number;
  readonly table: readonly IngressEntry[];
  readonly networks: readonly AssignedNetwork[];
  readonly names: readonly DnsEntry[];
  /** All servers that an earlier run was told of. */
  readonly servers: readonly string[];
  /** Writes all of these down; resolves when they are on disk. */
  readonly persist: () => Promise<void>;
  readonly persistSoon: () => void;
}

/** Passes the leader's orders on, and refuses those of a leader that has been deposed. */
export class LeaderMessageHandler implements SessionHandler {
  readonly #options: LeaderMessageHandlerOptions;
  #assignments = new AssignmentSet();
  #trafficAsked = 0;
  #epoch: number;
  #table: readonly IngressEntry[];
  #networks: readonly AssignedNetwork[];
  #names: readonly DnsEntry[];
  #servers: readonly string[];

  constructor(options: LeaderMessageHandlerOptions) {
    this.#options = options;
    this.#epoch = options.epoch;
    this.#table = options.table;
    this.#networks = options.networks;
    this.#names = options.names;
    this.#servers = options.servers;
    options.peers.watch(watchedPeers(options, options.nodeId));
  }

  get epoch(): number {
    return this.#epoch;
  }

  get table(): readonly IngressEntry[] {
    return this.#table;
  }

  get networks(): readonly AssignedNetwork[] {
    return this.#networks;
  }

  get names(): readonly DnsEntry[] {
    return this.#names;
  }

  /** Addresses of all servers, by the last leader's word. */
  get servers(): readonly string[] {
    return this.#servers;
  }

  async onWelcome({ epoch, servers }: Welcome): Promise<void> {
    if (epoch < this.#epoch) {
      throw new BerthError({
        code: "BERTH_STALE_EPOCH",
        message: `the server leads in epoch ${epoch}, but this node has had orders of epoch ${this.#epoch}: it is not the leader any more`,
      });
    }
    this.#assignments = new AssignmentSet();
    this.#options.ingress.restart();
    this.#servers = servers;
    if (epoch > this.#epoch) {
      this.#epoch = epoch;
      await this.#options.persist();
    } else {
      this.#options.persistSoon();
    }
    this.#options.log.info({ epoch }, "joined the cluster");
  }

  onAssignments(message: Assignments): void {
    const { worker, nodeId, ingress, peers, overlay, nameSync, fence, persistSoon } = this.#options;
    const result = this.#assignments.apply(message, Date.now());
    if (result.kind === "gap") throw new BerthError({ code: "BERTH_PROTOCOL", message: result.reason });
    if (message.tasks.some(({ atMostOne }) => atMostOne)) fence.guard();
    // The networks first: tasks that come with them would wait for networks that nobody has heard of.
    if (result.networks !== undefined) {
      this.#networks = result.networks;
      overlay.assign(result.networks);
    }
    if (result.names !== undefined) overlay.named(result.names);
    worker.assign(result.change);
    ingress.update(result.sequence, result.ingress);
    this.#table = result.ingress ?? this.#table;
    if (result.names !== undefined) {
      this.#names = result.names;
      nameSync.resume();
    }
    if ((result.ingress ?? result.networks ?? result.names) === undefined) return;
    peers.watch(watchedPeers({ table: this.#table, networks: this.#networks, names: this.#names }, nodeId));
    persistSoon();
  }

  /** Resolves with true once what was sent up to this sequence is in force here; false: it is not. */
  async tablesInForce(sequence: number): Promise<boolean> {
    const { ingress, nameSync } = this.#options;
    const [ports, names] = await Promise.all([ingress.applied(sequence), nameSync.applied()]);
    return ports && names;
  }

  onStartLogs(...args: Parameters<LogRelay["start"]>): void {
    this.#options.logs.start(...args);
  }

  onStopLogs(requestId: string): void {
    this.#options.logs.stop(requestId);
  }

  onStartExec(...args: Parameters<ExecRelay["start"]>): void {
    this.#options.execs.start(...args);
  }

  onStopExec(requestId: string): void {
    this.#options.execs.stop(requestId);
  }

  onStartLoad(...args: Parameters<StatsRelay["start"]>): void {
    this.#options.loads.start(...args);
  }

  onStopLoad(requestId: string): void {
    this.#options.loads.stop(requestId);
  }

  onWatchUsage(watch: MeasureUsage): void {
    this.#options.meter.watch(watch);
  }

  /** Ids of the tasks of these services that this node is to run. */
  tasksOf(serviceIds: ReadonlySet<string>): readonly string[] {
    return this.#assignments.tasksOf(serviceIds);
  }

  onEnd(): void {
    this.#options.execs.stopAll();
    this.#options.loads.stopAll();
    this.#options.meter.stop();
  }

  onProbe(request: ProbeRequest): Promise<ProbeResult | undefined> {
    return this.#options.probing.answer(request);
  }

  /** As many at a time as people look; who asks for more gets no answer. */
  async onAskTraffic({ requestId, serviceName }: TrafficRequest): Promise<TrafficReport | undefined> {
    if (this.#trafficAsked >= MAX_TRAFFIC_ASKED) return undefined;
    this.#trafficAsked += 1;
    try {
      return trafficReport(await this.#options.stats(), { requestId, serviceName });
    } catch {
      return undefined;
    } finally {
      this.#trafficAsked -= 1;
    }
  }

  onHeard(sentMs: number): void {
    this.#options.fence.acknowledged(sentMs);
  }

  needsContact(): boolean {
    return this.#options.fence.needsContact;
  }

  heartbeatNumber(): number {
    return this.#options.fence.heartbeatNumber();
  }

  appliedSequence(): number {
    return this.#options.ingress.appliedSequence;
  }
}
