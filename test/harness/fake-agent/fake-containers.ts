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

/** A container that exists only in a test: it runs until it is told to end. */
export interface FakeContainer {
  readonly assigned: AssignedTask;
  status: TaskStatus;
}

export interface ContainerBehavior {
  /** How long a container takes to start. */
  readonly startMs?: number;
  /** How long a container takes to stop. */
  readonly stopMs?: number;
  /** A container has been started. */
  readonly onStart?: (task: AssignedTask) => void;
  /** A container is told to stop. */
  readonly onStop?: (task: AssignedTask) => void;
}

/** The containers of one host. Images called `crashing…`, `never-healthy…` and `unpullable…` do so. */
export class FakeContainers {
  readonly all = new Map<string, FakeContainer>();
  readonly #habits: ContainerBehavior;
  readonly #told: ReceivedAssignments;
  readonly #say: (report: ReportedTask) => void;
  #nextPort = FIRST_HOST_PORT;

  constructor(habits: ContainerBehavior, told: ReceivedAssignments, say: (report: ReportedTask) => void) {
    this.#habits = habits;
    this.#told = told;
    this.#say = say;
  }

  apply(task: AssignedTask, { specs }: Assignments): void {
    const container = this.all.get(task.id);
    switch (task.desiredState) {
      case DesiredState.RUNNING: {
        if (container !== undefined) return;
        if (!this.#told.specs.has(specKey(task))) this.#told.violations.push(`no spec for task ${task.id}`);
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
          // Called off before it was heard of.
          const unborn = { assigned: task, status: emptyStatus() };
          this.all.set(task.id, unborn);
          this.#report(unborn, { state: TaskState.SHUTDOWN });
          return;
        }
        if (container.status.state >= TaskState.COMPLETE) return;
        this.#habits.onStop?.(task);
        void this.#stop(container);
        return;
      case DesiredState.REMOVE: {
        if (this.isUp(task.id)) this.#habits.onStop?.(task);
        const status = { ...(container?.status ?? emptyStatus()), state: TaskState.SHUTDOWN, ports: [] };
        this.#say({ taskId: task.id, serviceId: task.serviceId, status, removed: true });
        return;
      }
    }
  }

  /** It ends by itself. */
  end(taskId: string, exitCode: number): void {
    const container = this.all.get(taskId);
    if (container === undefined) throw new Error(`no container of task ${taskId}`);
    const state = exitCode === 0 ? TaskState.COMPLETE : TaskState.FAILED;
    this.#report(container, { state, exitCode, message: `exit code ${exitCode}`, ports: [] });
  }

  forget(taskId: string): void {
    const removed = this.all.get(taskId)?.assigned;
    this.all.delete(taskId);
    if (removed === undefined) return;
    const key = specKey(removed);
    const isUsed = [...this.all.values()].some(({ assigned }) => specKey(assigned) === key);
    if (!isUsed) this.#told.specs.delete(key);
  }

  /** Whether it exists and has not ended. */
  isUp(taskId: string): boolean {
    const state = this.all.get(taskId)?.status.state ?? TaskState.COMPLETE;
    return state < TaskState.COMPLETE;
  }

  async #start(assigned: AssignedTask, ports: HostPort[]): Promise<void> {
    const container = { assigned, status: emptyStatus() };
    this.all.set(assigned.id, container);
    const image = this.#told.specs.get(specKey(assigned)) ?? "";
    const isOver = (): boolean =>
      this.all.get(assigned.id) !== container || container.status.state >= TaskState.COMPLETE;
    await delay(this.#habits.startMs ?? 2);
    if (isOver()) return;
    if (image.startsWith("unpullable")) {
      this.#report(container, { state: TaskState.REJECTED, message: `no such image: ${image}` });
      return;
    }
    this.#habits.onStart?.(assigned);
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
    if (this.#habits.stopMs !== undefined) await delay(this.#habits.stopMs);
    if (container.status.state < TaskState.COMPLETE) {
      this.#report(container, { state: TaskState.SHUTDOWN, ports: [] });
    }
  }

  #report(container: FakeContainer, status: Partial<TaskStatus>): void {
    container.status = { ...container.status, ...status };
    const { id: taskId, serviceId } = container.assigned;
    this.#say({ taskId, serviceId, status: container.status, removed: false });
  }

  /** As Docker gives them out: the first free ones of the host's range. */
  #addressesFor(task: AssignedTask): TaskAddress[] {
    return this.#told.attachmentsOf(task).flatMap(({ network: name, ipv4Address, optional }) => {
      const network = [...this.#told.networks.values()].find(({ spec }) => spec?.name === name);
      if (network === undefined) {
        if (!optional) this.#told.violations.push(`task ${task.id} is here without its network ${name}`);
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
      for (const { networkId, address } of status.addresses) if (networkId === id) taken.add(address);
    }
    const base = parseSubnet(range)?.base ?? 0;
    for (let next = base + 2; ; next += 1) if (!taken.has(ipv4Text(next))) return ipv4Text(next);
  }
}

function emptyStatus(): TaskStatus {
  return TaskStatus.fromPartial({ state: TaskState.ASSIGNED });
}
