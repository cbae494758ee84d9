import {
  type Assignments,
  BerthError,
  negotiateVersion,
  ownPeer,
  type Policy,
  parseRelease,
  protocolRange,
  type Servers,
  type Welcome,
} from "@berth/proto";
import type { Logger } from "pino";
import type { DataPlaneClient } from "../dataplane-client/data-plane-client.js";
import type { TaskManager } from "../tasks/task-manager.js";
import { AssignmentSet } from "./assignment-set.js";
import type { Fence } from "./fence.js";
import { MAX_SERVERS } from "./next-attempt.js";

/**
 * How long a leader with a lower epoch is refused after the last contact with the leader of the highest epoch. A former
 * leader stops within seconds, when its lease in etcd expires. A longer refusal protects nothing, and would lock this
 * node out after a wrong epoch.
 */
export const REFUSE_LOWER_EPOCH_MS = 60_000;

/** The last leader that this node joined, as stored on disk. */
export interface KnownLeader {
  /** The highest epoch of a leader that this node has joined. */
  readonly epoch: number;
  /** The highest generation that this node has joined. Servers from before a restore have a lower generation. */
  readonly generation: number;
  /** Addresses of all servers, from the last leader. */
  readonly servers: readonly string[];
}

export interface AssignmentReceiverOptions {
  readonly tasks: Pick<TaskManager, "assign" | "updateFiles" | "updateRegistryLogins">;
  readonly dataPlane: Pick<
    DataPlaneClient,
    "resetSequence" | "updateNetworks" | "updateTables" | "whenApplied"
  >;
  readonly fence: Pick<Fence, "requestAcks">;
  readonly policy: { update(policy: Policy): void };
  readonly knownLeader: KnownLeader;
  /** Writes the agent's state to disk and resolves when it is stored. */
  readonly flushState: () => Promise<void>;
  readonly scheduleStateWrite: () => void;
  readonly log: Logger;
}

/** Applies assignments to the task manager and the data plane. Refuses the assignments of a replaced leader. */
export class AssignmentReceiver {
  readonly #options: AssignmentReceiverOptions;
  #knownLeader: KnownLeader;
  #assignments = new AssignmentSet();
  #hasSession = false;
  /**
   * When the last session with the known leader began or ended. Starts with the current time, because a restarted agent
   * may have lost the leader just before.
   */
  #lastContactMs = performance.now();

  constructor(options: AssignmentReceiverOptions) {
    this.#options = options;
    this.#knownLeader = options.knownLeader;
  }

  get knownLeader(): KnownLeader {
    return this.#knownLeader;
  }

  /**
   * Starts an empty set of assignments and stores the epoch of the leader.
   *
   * @throws BerthError BERTH_STALE_EPOCH if the server is no longer the leader
   * @throws BerthError BERTH_VERSION_UNSUPPORTED, or BERTH_PROTOCOL when the epoch or the generation is invalid
   */
  async onWelcome(welcome: Welcome): Promise<void> {
    requireVersion(welcome);
    const { epoch, servers, generation } = welcome;
    if (!Number.isSafeInteger(epoch) || epoch < 1) {
      throw new BerthError({ code: "BERTH_PROTOCOL", message: `the server sent the invalid epoch ${epoch}` });
    }
    const { dataPlane, flushState, scheduleStateWrite, log } = this.#options;
    this.#requireGeneration(generation);
    const knownEpoch = this.#knownLeader.epoch;
    const silentMs = performance.now() - this.#lastContactMs;
    const isRestored = generation > this.#knownLeader.generation;
    if (epoch < knownEpoch && !isRestored && silentMs < REFUSE_LOWER_EPOCH_MS) {
      throw new BerthError({
        code: "BERTH_STALE_EPOCH",
        message: `the server is no longer the leader: its epoch is ${epoch}, but this node has joined epoch ${knownEpoch}`,
      });
    }
    if (epoch < knownEpoch) {
      log.warn(
        { epoch, knownEpoch, silentMs },
        "the leader of the known epoch is gone; joining a lower epoch",
      );
    }
    this.#assignments = new AssignmentSet();
    this.#hasSession = true;
    this.#lastContactMs = performance.now();
    dataPlane.resetSequence();
    if (isRestored) log.warn({ generation }, "the cluster was restored from a backup");
    const knownServers = servers.length === 0 ? this.#knownLeader.servers : servers.slice(0, MAX_SERVERS);
    this.#knownLeader = { epoch, generation, servers: knownServers };
    // Stored before any assignment is applied: after a restart, the agent must not accept an older leader.
    if (epoch !== knownEpoch || isRestored) await flushState();
    else scheduleStateWrite();
    log.info({ epoch }, "joined the cluster");
  }

  /** Called when servers have joined or left since the welcome. Stores their addresses. */
  onServers({ addresses }: Servers): void {
    if (addresses.length === 0) return;
    this.#knownLeader = { ...this.#knownLeader, servers: addresses.slice(0, MAX_SERVERS) };
    this.#options.scheduleStateWrite();
  }

  /** Called when a session has ended, whether or not the server was accepted as leader. */
  onSessionEnd(): void {
    if (this.#hasSession) this.#lastContactMs = performance.now();
    this.#hasSession = false;
  }

  /**
   * Applies a message to the tasks and the data plane.
   *
   * @throws BerthError BERTH_PROTOCOL if the message does not follow the previous message
   */
  onAssignments(message: Assignments): void {
    const { tasks, dataPlane, fence, policy, scheduleStateWrite, log } = this.#options;
    const result = this.#assignments.apply(message, Date.now());
    if (result.kind === "gap") throw new BerthError({ code: "BERTH_PROTOCOL", message: result.reason });
    if (message.tasks.some(({ atMostOne }) => atMostOne)) fence.requestAcks();
    // The policy is applied first, because it governs the tasks of the same message.
    if (result.policy !== undefined) policy.update(result.policy);
    // Networks, files and logins are applied before tasks: a task would otherwise wait for a network of its own
    // message.
    dataPlane.updateNetworks(result);
    const { contents, problems } = result.files;
    for (const problem of problems) log.error({ problem }, "ignored a secret or config from the leader");
    if (contents !== undefined) tasks.updateFiles(contents);
    const { logins, problems: loginProblems } = result.registryLogins;
    for (const problem of loginProblems) log.error({ problem }, "ignored a registry login from the leader");
    if (logins !== undefined) tasks.updateRegistryLogins(logins);
    tasks.assign(result.change);
    dataPlane.updateTables(result);
    const { ingress, networks, dnsEntries } = result;
    const savedParts = [ingress, networks, dnsEntries, result.policy];
    if (savedParts.some((part) => part !== undefined)) scheduleStateWrite();
  }

  /**
   * Resolves with true once traffic follows the tables of this sequence, or with false if they were not applied.
   */
  whenTablesApplied(sequence: number): Promise<boolean> {
    return this.#options.dataPlane.whenApplied(sequence);
  }

  /** Returns the IDs of this node's tasks that belong to the services. */
  taskIdsOf(serviceIds: ReadonlySet<string>): readonly string[] {
    return this.#assignments.taskIdsOf(serviceIds);
  }

  /**
   * Rejects servers from before a restore, permanently: two control planes may be running after a restore.
   *
   * @throws BerthError BERTH_STALE_EPOCH, or BERTH_PROTOCOL when the generation is invalid
   */
  #requireGeneration(generation: number): void {
    const knownGeneration = this.#knownLeader.generation;
    if (!Number.isSafeInteger(generation) || generation < 0) {
      throw new BerthError({
        code: "BERTH_PROTOCOL",
        message: `the server sent the invalid generation ${generation}`,
      });
    }
    if (generation >= knownGeneration) return;
    throw new BerthError({
      code: "BERTH_STALE_EPOCH",
      message: `the cluster has been restored from a backup since this server belonged to it (generation ${generation}, but this node has joined ${knownGeneration}); stop this server`,
    });
  }
}

/**
 * Checks that the leader and this agent have a protocol version in common.
 *
 * @throws BerthError BERTH_VERSION_UNSUPPORTED if the leader's release is too old or too new
 */
function requireVersion({ protocolVersion, newestProtocolVersion, release }: Welcome): void {
  negotiateVersion(ownPeer("agent"), {
    program: "server",
    release: parseRelease(release),
    versions: protocolRange(protocolVersion, newestProtocolVersion),
  });
}
