import {
  type AssignedNetwork,
  type AssignedTask,
  type Assignments,
  Assignments_Kind,
  type DnsEntry,
  type IngressEntry,
  type NetworkAttachment,
} from "@berth/proto";

/** All that the leader has told an agent, and whether it kept to the contract in doing so. */
export class ReceivedAssignments {
  readonly ingress = new Map<string, IngressEntry>();
  readonly networks = new Map<string, AssignedNetwork>();
  readonly names = new Map<string, DnsEntry>();
  /** Images of the specs that were sent, by service and version. */
  readonly specs = new Map<string, string>();
  readonly received: Assignments[] = [];
  readonly violations: string[];
  completeSets = 0;
  sequence = 0;
  readonly #attachments = new Map<string, readonly NetworkAttachment[]>();
  #mayMissOne = false;

  constructor(complaints: string[]) {
    this.violations = complaints;
  }

  /** An increment gets lost on its way: the next one does not fit. */
  skipIncrement(): void {
    this.sequence -= 1;
    this.#mayMissOne = true;
  }

  /** Takes all but the tasks. @returns false: it is an increment to something else than what is known */
  apply(assignments: Assignments): boolean {
    this.received.push(assignments);
    const isComplete = assignments.kind === Assignments_Kind.COMPLETE;
    if (!isComplete && assignments.appliesTo !== this.sequence) {
      if (!this.#mayMissOne)
        this.violations.push(`increment to ${assignments.appliesTo}, but ${this.sequence} is known`);
      return false;
    }
    this.sequence = assignments.resultsIn;
    this.#mayMissOne = false;
    if (isComplete) this.#beginAnew();
    for (const { serviceId, version, task } of assignments.specs) {
      this.#takeSpec(`${serviceId}/${version}`, task?.container?.image ?? "");
      this.#attachments.set(`${serviceId}/${version}`, task?.networks ?? []);
    }
    this.#takeNetworks(assignments);
    for (const entry of assignments.ingress) this.ingress.set(entry.key, entry);
    for (const key of assignments.removedIngressKeys) this.ingress.delete(key);
    return true;
  }

  attachmentsOf(task: AssignedTask): readonly NetworkAttachment[] {
    return this.#attachments.get(specKey(task)) ?? [];
  }

  #beginAnew(): void {
    this.completeSets += 1;
    for (const known of [this.specs, this.ingress, this.networks, this.names]) known.clear();
  }

  /** Names are only of networks that it is in, and only what it has can be taken away. */
  #takeNetworks({ networks, removedNetworkIds, dnsEntries: names, removedDnsKeys }: Assignments): void {
    for (const network of networks) this.networks.set(network.id, network);
    for (const id of removedNetworkIds) {
      if (!this.networks.delete(id)) this.violations.push(`network ${id} was never here`);
    }
    for (const name of names) {
      this.names.set(name.key, name);
      if (!this.networks.has(name.networkId)) this.violations.push(`${name.key} is of a foreign network`);
    }
    for (const key of removedDnsKeys) {
      if (!this.names.delete(key)) this.violations.push(`name ${key} was never here`);
    }
  }

  #takeSpec(key: string, image: string): void {
    if (this.specs.has(key)) this.violations.push(`spec ${key} was sent twice`);
    this.specs.set(key, image);
  }
}

/** Of the spec that a task runs. */
export function specKey({ serviceId, specVersion }: AssignedTask): string {
  return `${serviceId}/${specVersion}`;
}
