import {
  type Network,
  type NetworkRange,
  type Node,
  type Service,
  type ServiceSpec,
  type Task,
  TaskState,
  type VirtualIp,
} from "@berth/proto";
import { decodeEntry, deletionOfKey, type Put } from "../../../packages/control-plane/src/state/change.js";
import { LEADER_KEY } from "../../../packages/control-plane/src/store/keys.js";
import type { Commit } from "../store/sim-etcd.js";

export interface TaskChange {
  readonly before: Task | undefined;
  readonly after: Task | undefined;
}

export type Allocation =
  | { readonly kind: "network"; readonly network: Network }
  | { readonly kind: "range"; readonly range: NetworkRange }
  | { readonly kind: "vip"; readonly vip: VirtualIp };

/** The records that a transaction changed. */
export interface RecordChange {
  readonly tasks: readonly TaskChange[];
  readonly services: readonly { readonly before: Service | undefined; readonly after: Service | undefined }[];
  readonly nodesBefore: ReadonlyMap<string, Node>;
  /** The networks, ranges and virtual IPs that were written. */
  readonly allocations: readonly Allocation[];
  readonly removedNetworks: readonly Network[];
  readonly unreadable: readonly string[];
}

/** The cluster's records, tracked from etcd's commits. */
export class Records {
  readonly tasks = new Map<string, Task>();
  readonly services = new Map<string, Service>();
  readonly nodes = new Map<string, Node>();
  readonly specs = new Map<string, ServiceSpec>();
  readonly networks = new Map<string, Network>();
  /** Network ranges by `NETWORK/NODE`. */
  readonly ranges = new Map<string, NetworkRange>();
  /** Virtual IPs by `NETWORK/SERVICE`. */
  readonly vips = new Map<string, VirtualIp>();
  /** The run of each task of a job, including removed tasks. */
  readonly runs = new Map<string, number>();
  /** Address of the server that holds the leader key. */
  leader: string | undefined;

  specOf(serviceId: string, version: number): ServiceSpec | undefined {
    return this.specs.get(`${serviceId}/${version}`);
  }

  serviceNamed(name: string): Service | undefined {
    for (const service of this.services.values()) if (service.spec?.name === name) return service;
    return undefined;
  }

  tasksOf(serviceId: string): readonly Task[] {
    return [...this.tasks.values()].filter((task) => task.serviceId === serviceId);
  }

  networkNamed(name: string): Network | undefined {
    for (const network of this.networks.values()) if (network.spec?.name === name) return network;
    return undefined;
  }

  rangesOf(networkId: string): readonly NetworkRange[] {
    return [...this.ranges.values()].filter((range) => range.networkId === networkId);
  }

  vipsOf(networkId: string): readonly VirtualIp[] {
    return [...this.vips.values()].filter((vip) => vip.networkId === networkId);
  }

  apply({ events }: Commit): RecordChange {
    const tasks: TaskChange[] = [];
    const services: { before: Service | undefined; after: Service | undefined }[] = [];
    const unreadable: string[] = [];
    const leases: Allocation[] = [];
    const networksGone: Network[] = [];
    const nodesBefore = new Map<string, Node>();
    for (const event of events) {
      const deletion = deletionOfKey(event.key);
      if (event.key === LEADER_KEY)
        this.leader = event.kind === "put" ? JSON.parse(event.entry.value).address : undefined;
      if (event.kind === "put") {
        const decoded = decodeEntry(event.entry);
        if (decoded.kind === "unreadable") unreadable.push(`${event.key}: ${decoded.reason}`);
        if (decoded.kind !== "put") continue;
        const { put } = decoded;
        if (put.kind === "put-task") {
          tasks.push({ before: this.tasks.get(put.task.id), after: put.task });
          this.tasks.set(put.task.id, put.task);
          if (put.task.jobIteration > 0) this.runs.set(put.task.id, put.task.jobIteration);
        } else if (put.kind === "put-service") {
          services.push({ before: this.services.get(put.service.id), after: put.service });
          this.services.set(put.service.id, put.service);
        } else if (put.kind === "put-node") {
          const before = this.nodes.get(put.node.id);
          if (before !== undefined) nodesBefore.set(put.node.id, before);
          this.nodes.set(put.node.id, put.node);
        } else if (put.kind === "put-revision") {
          this.specs.set(`${put.serviceId}/${put.version}`, put.spec);
        } else this.#lease(put, leases);
      } else if (deletion?.kind === "delete-task") {
        tasks.push({ before: this.tasks.get(deletion.taskId), after: undefined });
        this.tasks.delete(deletion.taskId);
      } else if (deletion?.kind === "delete-service") {
        services.push({ before: this.services.get(deletion.serviceId), after: undefined });
        this.services.delete(deletion.serviceId);
      } else if (deletion?.kind === "delete-node") this.nodes.delete(deletion.nodeId);
      else if (deletion?.kind === "delete-revision")
        this.specs.delete(`${deletion.serviceId}/${deletion.version}`);
      else if (deletion?.kind === "delete-range")
        this.ranges.delete(`${deletion.networkId}/${deletion.nodeId}`);
      else if (deletion?.kind === "delete-vip")
        this.vips.delete(`${deletion.networkId}/${deletion.serviceId}`);
      else if (deletion?.kind === "delete-network") {
        const gone = this.networks.get(deletion.networkId);
        if (gone !== undefined) networksGone.push(gone);
        this.networks.delete(deletion.networkId);
      }
    }
    return { tasks, services, nodesBefore, allocations: leases, removedNetworks: networksGone, unreadable };
  }

  #lease(put: Put, leases: Allocation[]): void {
    if (put.kind === "put-network") {
      this.networks.set(put.network.id, put.network);
      leases.push({ kind: "network", network: put.network });
    } else if (put.kind === "put-range") {
      this.ranges.set(`${put.range.networkId}/${put.range.nodeId}`, put.range);
      leases.push({ kind: "range", range: put.range });
    } else if (put.kind === "put-vip") {
      this.vips.set(`${put.vip.networkId}/${put.vip.serviceId}`, put.vip);
      leases.push({ kind: "vip", vip: put.vip });
    }
  }
}

export function stateOf(task: Task | undefined): TaskState {
  return task?.status?.state ?? TaskState.UNSPECIFIED;
}

export function isJob(spec: ServiceSpec | undefined): boolean {
  return spec?.mode?.$case === "replicatedJob" || spec?.mode?.$case === "globalJob";
}

export function isFinal(task: Task | undefined): boolean {
  return stateOf(task) >= TaskState.COMPLETE;
}
