import {
  type AssignedFile,
  type AssignedNetwork,
  type AssignedRegistryLogin,
  type AssignedTask,
  type Assignments,
  Assignments_Kind,
  type DnsEntry,
  type IngressEntry,
  type NetworkAttachment,
} from "@berth/proto";

/** Applies the assignments that an agent receives. Records violations of the protocol by the leader. */
export class ReceivedAssignments {
  readonly ingress = new Map<string, IngressEntry>();
  readonly networks = new Map<string, AssignedNetwork>();
  readonly names = new Map<string, DnsEntry>();
  /** Images of the received specs, by service and version. */
  readonly specs = new Map<string, string>();
  /** Secrets and configs by version ID. */
  readonly files = new Map<string, AssignedFile>();
  /** Registry logins by ID. */
  readonly logins = new Map<string, AssignedRegistryLogin>();
  readonly received: Assignments[] = [];
  readonly violations: string[];
  completeSets = 0;
  sequence = 0;
  readonly #attachments = new Map<string, readonly NetworkAttachment[]>();
  #isIncrementLost = false;

  /** @param violations list to which violations are added */
  constructor(violations: string[]) {
    this.violations = violations;
  }

  /** Simulates a lost increment: the next one does not apply to the agent's state. */
  skipIncrement(): void {
    this.sequence -= 1;
    this.#isIncrementLost = true;
  }

  /** Applies everything except the tasks. Returns false if an increment does not follow the current sequence. */
  apply(assignments: Assignments): boolean {
    this.received.push(assignments);
    const isComplete = assignments.kind === Assignments_Kind.COMPLETE;
    if (!isComplete && assignments.appliesTo !== this.sequence) {
      if (!this.#isIncrementLost) {
        this.violations.push(
          `increment applies to sequence ${assignments.appliesTo}, but the agent is at ${this.sequence}`,
        );
      }
      return false;
    }
    this.sequence = assignments.resultsIn;
    this.#isIncrementLost = false;
    if (isComplete) this.#clear();
    for (const { serviceId, version, task } of assignments.specs) {
      this.#applySpec(`${serviceId}/${version}`, task?.container?.image ?? "");
      this.#attachments.set(`${serviceId}/${version}`, task?.networks ?? []);
    }
    this.#applyNetworks(assignments);
    this.#applyFiles(assignments);
    for (const login of assignments.registryLogins) this.logins.set(login.id, login);
    for (const id of assignments.removedRegistryLoginIds) {
      if (!this.logins.delete(id)) this.violations.push(`removed unknown registry login ${id}`);
    }
    for (const entry of assignments.ingress) this.ingress.set(entry.key, entry);
    for (const key of assignments.removedIngressKeys) this.ingress.delete(key);
    return true;
  }

  attachmentsOf(task: AssignedTask): readonly NetworkAttachment[] {
    return this.#attachments.get(specKey(task)) ?? [];
  }

  #clear(): void {
    this.completeSets += 1;
    for (const map of [this.specs, this.ingress, this.networks, this.names]) map.clear();
    this.files.clear();
    this.logins.clear();
  }

  /** DNS entries must belong to assigned networks. Only assigned networks and entries can be removed. */
  #applyNetworks({ networks, removedNetworkIds, dnsEntries: names, removedDnsKeys }: Assignments): void {
    for (const network of networks) this.networks.set(network.id, network);
    for (const id of removedNetworkIds) {
      if (!this.networks.delete(id)) this.violations.push(`removed unknown network ${id}`);
    }
    for (const name of names) {
      this.names.set(name.key, name);
      if (!this.networks.has(name.networkId)) {
        this.violations.push(`DNS entry ${name.key} belongs to an unassigned network`);
      }
    }
    for (const key of removedDnsKeys) {
      if (!this.names.delete(key)) this.violations.push(`removed unknown DNS entry ${key}`);
    }
  }

  #applyFiles({ files, removedFileIds }: Assignments): void {
    for (const file of files) {
      if (this.files.has(file.id)) this.violations.push(`file ${file.id} was sent twice`);
      this.files.set(file.id, file);
    }
    for (const id of removedFileIds) {
      if (!this.files.delete(id)) this.violations.push(`removed unknown file ${id}`);
    }
  }

  #applySpec(key: string, image: string): void {
    if (this.specs.has(key)) this.violations.push(`spec ${key} was sent twice`);
    this.specs.set(key, image);
  }
}

/** Returns the key of a task's spec in {@link ReceivedAssignments.specs}. */
export function specKey({ serviceId, specVersion }: AssignedTask): string {
  return `${serviceId}/${specVersion}`;
}
