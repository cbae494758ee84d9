import { DesiredState, Health, type Node, type Service, type Task, TaskState } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildNode, buildService, buildSpec, buildTask } from "../core/testing/records.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import { ManualClock } from "../testing/manual-clock.js";
import { DrainGate } from "./drain-gate.js";

const spec = buildSpec({ ports: [{ target: 80, published: 8080, mode: 1 }] });
const running = buildTask({ status: { state: TaskState.RUNNING } });
const stopping: Task = { ...running, desiredState: DesiredState.SHUTDOWN };

/** A gate over real records, with agents and tables that do as the test says. */
class Rig {
  readonly clock = new ManualClock();
  readonly state = new ClusterState();
  readonly inForce = new Map<string, number>();
  readonly suspects = new Set<string>();
  readonly wanted: number[] = [];
  readonly opened: string[] = [];
  readonly gate: DrainGate;
  version = 1;
  #isStale = false;
  #revision = 0n;

  constructor(tasks: readonly Task[] = [running]) {
    this.put({ kind: "put-service", service: buildService({ spec }) });
    for (const nodeId of ["n1", "n2"]) this.putNode(buildNode({ id: nodeId }));
    for (const task of tasks) this.putTask(task);
    const rig = this;
    this.gate = new DrainGate({
      state: this.state,
      clock: this.clock,
      tables: {
        get version() {
          return rig.version;
        },
        isStale: () => this.#isStale,
      },
      isSuspect: (nodeId) => this.suspects.has(nodeId),
      getAppliedVersion: (nodeId) => this.inForce.get(nodeId) ?? 0,
      onAckNeeded: (version) => this.wanted.push(version),
      onReleased: ({ id }) => this.opened.push(id),
      signal: new AbortController().signal,
    });
    this.state.onChange((delta) => {
      this.#isStale ||= delta.services.size > 0;
      this.gate.onChange(delta);
    });
  }

  put(change: Change): void {
    this.#revision += 1n;
    this.state.apply([{ change, revision: this.#revision }]);
  }

  putNode(node: Node): void {
    this.put({ kind: "put-node", node });
  }

  putTask(task: Task): void {
    this.put({ kind: "put-task", task });
  }

  putService(service: Service): void {
    this.put({ kind: "put-service", service });
  }

  tablesFollow(): void {
    this.#isStale = false;
    this.version += 1;
    this.gate.onTablesUpdated();
  }

  async acks(nodeId: string, version: number): Promise<void> {
    this.inForce.set(nodeId, version);
    this.gate.scheduleReview();
    await this.clock.advance(10);
  }
}

describe("DrainGate", () => {
  it("holds a task of an outdated revision that other nodes still send connections to", async () => {
    const rig = new Rig();
    rig.put({ kind: "put-revision", serviceId: "s1", version: 1, spec });
    const unpublished = buildSpec();
    rig.put({ kind: "put-revision", serviceId: "s1", version: 2, spec: unpublished });
    rig.putService(buildService({ spec: unpublished, version: 2 }));
    rig.putTask({ ...stopping, specVersion: 1 });
    expect(rig.gate.isStopHeld("t1")).toBe(true);
    rig.tablesFollow();
    await rig.acks("n1", 2);
    await rig.acks("n2", 2);
    expect(rig.opened).toEqual(["t1"]);
  });

  it("releases a task when every node has acknowledged the tables without it", async () => {
    const rig = new Rig();
    rig.putTask(stopping);
    expect(rig.gate.isStopHeld("t1")).toBe(true);
    expect(rig.wanted).toEqual([]);
    rig.tablesFollow();
    expect(rig.wanted).toEqual([2]);
    await rig.acks("n1", 2);
    expect(rig.opened).toEqual([]);
    await rig.acks("n2", 3);
    expect(rig.opened).toEqual(["t1"]);
    expect(rig.gate.isStopHeld("t1")).toBe(false);
    expect(rig.gate.awaitedVersion).toBeUndefined();
  });

  it.each([
    ["becomes unhealthy", { health: Health.UNHEALTHY }],
    ["is disconnected", { health: Health.UNKNOWN }],
  ])("keeps holding a task that %s during the drain", async (_what, status) => {
    const rig = new Rig();
    rig.putTask(stopping);
    rig.tablesFollow();
    rig.putTask({ ...stopping, status: { ...runningStatus(), ...status } });
    rig.putService(buildService({ spec, version: 2 }));
    expect(rig.opened).toEqual([]);
    await rig.acks("n1", 2);
    await rig.acks("n2", 2);
    expect(rig.opened).toEqual(["t1"]);
  });

  it("releases a task after a second when a node does not acknowledge", async () => {
    const rig = new Rig();
    rig.putTask(stopping);
    rig.tablesFollow();
    await rig.acks("n1", 2);
    await rig.clock.advance(900);
    expect(rig.opened).toEqual([]);
    await rig.clock.advance(100);
    expect(rig.opened).toEqual(["t1"]);
  });

  it.each<[string, (rig: Rig) => void]>([
    ["is suspect", (rig) => void (rig.suspects.add("n2") && rig.gate.scheduleReview())],
    ["has lost its agent", (rig) => rig.putNode(buildNode({ id: "n2", agentUnreachable: true }))],
    ["is removed", (rig) => rig.put({ kind: "delete-node", nodeId: "n2" })],
  ])("does not wait for a host that %s", async (_what, lose) => {
    const rig = new Rig();
    rig.putTask(stopping);
    rig.tablesFollow();
    await rig.acks("n1", 2);
    lose(rig);
    await rig.clock.advance(10);
    expect(rig.opened).toEqual(["t1"]);
  });

  it("waits for a node that joins during the drain", async () => {
    const rig = new Rig();
    rig.putTask(stopping);
    rig.tablesFollow();
    rig.putNode(buildNode({ id: "n3" }));
    await rig.acks("n1", 2);
    await rig.acks("n2", 2);
    expect(rig.opened).toEqual([]);
    expect(rig.gate.awaitedVersion).toBe(2);
    await rig.acks("n3", 2);
    expect(rig.opened).toEqual(["t1"]);
  });

  it("drains again after a leader change", async () => {
    const rig = new Rig([stopping]);
    expect(rig.gate.isStopHeld("t1")).toBe(true);
    expect(rig.gate.awaitedVersion).toBe(1);
    await rig.acks("n1", 1);
    await rig.acks("n2", 1);
    expect(rig.opened).toEqual(["t1"]);
  });

  it.each<[string, (rig: Rig) => void]>([
    ["ended by itself", (rig) => rig.putTask({ ...stopping, status: ended() })],
    ["belongs to a service that goes", (rig) => rig.putService(buildService({ spec, removing: true }))],
  ])("stops waiting for a task that %s", (_what, change) => {
    const rig = new Rig();
    rig.putTask(stopping);
    change(rig);
    expect(rig.opened).toEqual(["t1"]);
  });

  it("does not hold tasks that receive no connections", () => {
    const rig = new Rig([]);
    rig.putTask({ ...stopping, status: { ...ended(), state: TaskState.STARTING } });
    expect(rig.gate.isStopHeld("t1")).toBe(false);
  });
});

function ended(): NonNullable<Task["status"]> {
  return buildTask({ status: { state: TaskState.FAILED } }).status ?? never();
}

function runningStatus(): NonNullable<Task["status"]> {
  return running.status ?? never();
}

function never(): never {
  throw new Error("a task has a status");
}
