import { setTimeout as delay } from "node:timers/promises";
import {
  type AssignedNetwork,
  type AssignedTask,
  type Assignments,
  DesiredState,
  Health,
  type HostPort,
  ipv4Text,
  PortSpec_Mode,
  PortSpec_Protocol,
  parseSubnet,
  type ReportedTask,
  type TaskAddress,
  TaskState,
  TaskStatus,
} from "@berth/proto";
import { type ReceivedAssignments, specKey } from "./received-assignments.js";

const FIRST_HOST_PORT = 40_000;
const CRASH_AFTER_MS = 20;

/** A simulated container. It runs until a test or the leader stops it. */
export interface FakeContainer {
  readonly assigned: AssignedTask;
  status: TaskStatus;
}

export interface ContainerBehavior {
  /** How long a container takes to start. */
  readonly startMs?: number;
  /** How long a container takes to stop. */
  readonly stopMs?: number;
  /** Called when a container has started. */
  readonly onStart?: (task: AssignedTask) => void;
  /** Called when a container is asked to stop. */
  readonly onStop?: (task: AssignedTask) => void;
}

/** The containers of one host. Images named `crashing…`, `never-healthy…` and `unpullable…` fail accordingly. */
export class FakeContainers {
  readonly all = new Map<string, FakeContainer>();
  readonly #behavior: ContainerBehavior;
  readonly #assignments: ReceivedAssignments;
  readonly #send: (report: ReportedTask) => void;
  #nextPort = FIRST_HOST_PORT;

  constructor(
    behavior: ContainerBehavior,
    assignments: ReceivedAssignments,
    send: (report: ReportedTask) => void,
  ) {
    this.#behavior = behavior;
    this.#assignments = assignments;
    this.#send = send;
  }

  apply(task: AssignedTask, { specs }: Assignments): void {
    const container = this.all.get(task.id);
    switch (task.desiredState) {
      case DesiredState.RUNNING: {
        if (container !== undefined) return;
        if (!this.#assignments.specs.has(specKey(task))) {
          this.#assignments.violations.push(`task ${task.id} was assigned without its spec`);
        }
        const ports = specs.find(({ serviceId }) => serviceId === task.serviceId)?.ports ?? [];
        const published = ports
          .filter(({ mode }) => mode !== PortSpec_Mode.HOST)
          .map(
            ({ target, protocol }): HostPort => ({
              protocol: protocol || PortSpec_Protocol.TCP,
              target,
              hostPort: this.#nextPort++,
            }),
          );
        void this.#start(task, published);
        return;
      }
      case DesiredState.SHUTDOWN:
        if (container === undefined) {
          // The task was stopped before the agent received it.
          const neverStarted = { assigned: task, status: emptyStatus() };
          this.all.set(task.id, neverStarted);
          this.#report(neverStarted, { state: TaskState.SHUTDOWN });
          return;
        }
        if (container.status.state >= TaskState.COMPLETE) return;
        this.#behavior.onStop?.(task);
        void this.#stop(container);
        return;
      case DesiredState.REMOVE: {
        if (this.isUp(task.id)) this.#behavior.onStop?.(task);
        const status = { ...(container?.status ?? emptyStatus()), state: TaskState.SHUTDOWN, ports: [] };
        this.#send({ taskId: task.id, serviceId: task.serviceId, status, removed: true });
        return;
      }
    }
  }

  /** Ends a container as if its process had exited. */
  end(taskId: string, exitCode: number): void {
    const container = this.all.get(taskId);
    if (container === undefined) throw new Error(`task ${taskId} has no container`);
    const state = exitCode === 0 ? TaskState.COMPLETE : TaskState.FAILED;
    this.#report(container, { state, exitCode, message: `exit code ${exitCode}`, ports: [] });
  }

  forget(taskId: string): void {
    const removed = this.all.get(taskId)?.assigned;
    this.all.delete(taskId);
    if (removed === undefined) return;
    const key = specKey(removed);
    const isUsed = [...this.all.values()].some(({ assigned }) => specKey(assigned) === key);
    if (!isUsed) this.#assignments.specs.delete(key);
  }

  /** Returns whether a task's container exists and has not ended. */
  isUp(taskId: string): boolean {
    const state = this.all.get(taskId)?.status.state ?? TaskState.COMPLETE;
    return state < TaskState.COMPLETE;
  }

  async #start(assigned: AssignedTask, ports: HostPort[]): Promise<void> {
    const container = { assigned, status: emptyStatus() };
    this.all.set(assigned.id, container);
    const image = this.#assignments.specs.get(specKey(assigned)) ?? "";
    const isOver = (): boolean =>
      this.all.get(assigned.id) !== container || container.status.state >= TaskState.COMPLETE;
    await delay(this.#behavior.startMs ?? 2);
    if (isOver()) return;
    if (image.startsWith("unpullable")) {
      this.#report(container, { state: TaskState.REJECTED, message: `no such image: ${image}` });
      return;
    }
    this.#behavior.onStart?.(assigned);
    const addresses = this.#addressesFor(assigned);
    if (image.startsWith("never-healthy")) {
      this.#report(container, { state: TaskState.STARTING, health: Health.STARTING, addresses });
      return;
    }
    this.#report(container, { state: TaskState.RUNNING, containerId: `c-${assigned.id}`, ports, addresses });
    if (!image.startsWith("crashing")) return;
    await delay(CRASH_AFTER_MS);
    if (!isOver()) this.end(assigned.id, 1);
  }

  async #stop(container: FakeContainer): Promise<void> {
    if (this.#behavior.stopMs !== undefined) await delay(this.#behavior.stopMs);
    if (container.status.state < TaskState.COMPLETE) {
      this.#report(container, { state: TaskState.SHUTDOWN, ports: [] });
    }
  }

  #report(container: FakeContainer, status: Partial<TaskStatus>): void {
    container.status = { ...container.status, ...status };
    const { id: taskId, serviceId } = container.assigned;
    this.#send({ taskId, serviceId, status: container.status, removed: false });
  }

  /** Assigns addresses as Docker does: the first free address in the host's range of each network. */
  #addressesFor(task: AssignedTask): TaskAddress[] {
    return this.#assignments.attachmentsOf(task).flatMap(({ network: name, ipv4Address, optional }) => {
      const network = [...this.#assignments.networks.values()].find(({ spec }) => spec?.name === name);
      if (network === undefined) {
        if (!optional) {
          this.#assignments.violations.push(`task ${task.id} was assigned without its network ${name}`);
        }
        return [];
      }
      const address = ipv4Address || this.#freeAddress(network);
      return [{ networkId: network.id, address, macAddress: "" }];
    });
  }

  #freeAddress({ id, range, gateway }: AssignedNetwork): string {
    const taken = new Set([gateway]);
    for (const { status } of this.all.values()) {
      if (status.state >= TaskState.COMPLETE) continue;
      for (const { networkId, address } of status.addresses) {
        if (networkId === id) taken.add(address);
      }
    }
    const base = parseSubnet(range)?.base ?? 0;
    for (let next = base + 2; ; next += 1) {
      if (!taken.has(ipv4Text(next))) return ipv4Text(next);
    }
  }
}

function emptyStatus(): TaskStatus {
  return TaskStatus.fromPartial({ state: TaskState.ASSIGNED });
}
