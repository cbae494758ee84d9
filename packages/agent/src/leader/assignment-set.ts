import {
  type AssignedNetwork,
  type AssignedSpec,
  type AssignedTask,
  type Assignments,
  Assignments_Kind,
  DEFAULT_POLICY,
  type DnsEntry,
  type IngressEntry,
  type Policy,
} from "@berth/proto";
import type { Assignment, AssignmentChange } from "../core/tasks/task-view.js";
import { AssignedFiles, type AssignedFilesChange } from "./assigned-files.js";
import { AssignedLogins, type AssignedLoginsChange } from "./assigned-logins.js";

/**
 * The outcome of a message that does not follow the previous one. Only a new session, which starts with a complete set,
 * closes the gap.
 */
export interface Gap {
  readonly kind: "gap";
  readonly reason: string;
}

/** The changes that a message caused. */
export interface Applied {
  readonly kind: "applied";
  readonly sequence: number;
  readonly change: AssignmentChange;
  /** All ingress entries. Undefined if the message changed none. */
  readonly ingress: readonly IngressEntry[] | undefined;
  /** All networks. Undefined if the message changed none. */
  readonly networks: readonly AssignedNetwork[] | undefined;
  /** All DNS entries. Undefined if the message changed none. */
  readonly dnsEntries: readonly DnsEntry[] | undefined;
  /**
   * The policy. Undefined if the message contained none. In a complete set from a leader without policies, the default
   * policy.
   */
  readonly policy: Policy | undefined;
  readonly files: AssignedFilesChange;
  readonly registryLogins: AssignedLoginsChange;
}

/** The current assignments of this node, built from the leader's complete set and the increments that followed it. */
export class AssignmentSet {
  readonly #specs = new Map<string, AssignedSpec>();
  readonly #tasks = new Map<string, AssignedTask>();
  readonly #ingress = new Map<string, IngressEntry>();
  readonly #networks = new Map<string, AssignedNetwork>();
  readonly #dnsEntries = new Map<string, DnsEntry>();
  readonly #files = new AssignedFiles();
  readonly #registryLogins = new AssignedLogins();
  /** The sequence of the last message. Undefined before the first complete set. */
  #sequence: number | undefined;

  /** Applies a message and returns the parts that changed. A message with a gap changes nothing. */
  apply(message: Assignments, nowMs: number): Applied | Gap {
    const isComplete = message.kind === Assignments_Kind.COMPLETE;
    if (!isComplete && this.#sequence !== message.appliesTo) {
      const current = this.#sequence === undefined ? "no assignments" : `sequence ${this.#sequence}`;
      return gap(`received an increment for sequence ${message.appliesTo}, but this node has ${current}`);
    }
    const sentSpecs = new Map(message.specs.map((spec) => [specKey(spec.serviceId, spec.version), spec]));
    const assigned: Assignment[] = [];
    for (const task of message.tasks) {
      const key = specKey(task.serviceId, task.specVersion);
      const spec = sentSpecs.get(key) ?? (isComplete ? undefined : this.#specs.get(key));
      if (spec === undefined) return gap(`task ${task.id} refers to a spec that was not sent`);
      assigned.push({ task, spec, receivedAtMs: nowMs });
    }
    if (isComplete) this.#clear();
    for (const [key, spec] of sentSpecs) this.#specs.set(key, spec);
    for (const task of message.tasks) this.#tasks.set(task.id, task);
    for (const taskId of message.removedTaskIds) this.#tasks.delete(taskId);
    if (message.removedTaskIds.length > 0) this.#dropUnusedSpecs();
    this.#sequence = message.resultsIn;
    return {
      kind: "applied",
      sequence: message.resultsIn,
      change: {
        isComplete,
        assigned,
        removedTaskIds: message.removedTaskIds,
        keepsUnknown: message.keepUnknownTasks ?? (isComplete ? false : undefined),
      },
      ingress: this.#applyIngress(message) || isComplete ? [...this.#ingress.values()] : undefined,
      networks: this.#applyNetworks(message) || isComplete ? [...this.#networks.values()] : undefined,
      dnsEntries: this.#applyDnsEntries(message) || isComplete ? [...this.#dnsEntries.values()] : undefined,
      files: this.#files.apply(message, { isComplete }),
      registryLogins: this.#registryLogins.apply(message, { isComplete }),
      policy: message.policy ?? (isComplete ? DEFAULT_POLICY : undefined),
    };
  }

  /** Returns the IDs of the tasks of these services. */
  taskIdsOf(serviceIds: ReadonlySet<string>): readonly string[] {
    return [...this.#tasks.values()].filter(({ serviceId }) => serviceIds.has(serviceId)).map(({ id }) => id);
  }

  #applyIngress({ ingress, removedIngressKeys }: Assignments): boolean {
    for (const entry of ingress) this.#ingress.set(entry.key, entry);
    for (const key of removedIngressKeys) this.#ingress.delete(key);
    return ingress.length > 0 || removedIngressKeys.length > 0;
  }

  #applyNetworks({ networks, removedNetworkIds }: Assignments): boolean {
    for (const network of networks) this.#networks.set(network.id, network);
    for (const id of removedNetworkIds) this.#networks.delete(id);
    return networks.length > 0 || removedNetworkIds.length > 0;
  }

  #applyDnsEntries({ dnsEntries, removedDnsKeys }: Assignments): boolean {
    for (const entry of dnsEntries) this.#dnsEntries.set(entry.key, entry);
    for (const key of removedDnsKeys) this.#dnsEntries.delete(key);
    return dnsEntries.length > 0 || removedDnsKeys.length > 0;
  }

  #dropUnusedSpecs(): void {
    const used = new Set<string>();
    for (const task of this.#tasks.values()) used.add(specKey(task.serviceId, task.specVersion));
    for (const key of this.#specs.keys()) if (!used.has(key)) this.#specs.delete(key);
  }

  #clear(): void {
    this.#specs.clear();
    this.#tasks.clear();
    this.#ingress.clear();
    this.#networks.clear();
    this.#dnsEntries.clear();
  }
}

function gap(reason: string): Gap {
  return { kind: "gap", reason };
}

function specKey(serviceId: string, version: number): string {
  return `${serviceId}/${version}`;
}
