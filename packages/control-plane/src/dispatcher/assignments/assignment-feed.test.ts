import {
  type Assignments,
  DEFAULT_POLICY,
  DesiredState,
  Assignments_Kind as Kind,
  Policy,
  type Task,
  TaskState,
  TaskStatus,
} from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildSpec, buildTask } from "../../core/testing/records.js";
import { NO_ASSIGNMENTS, NO_NETWORKS } from "../testing/no-assignments.js";
import { AssignmentFeed } from "./assignment-feed.js";

const NODE = "n1";
const STATUS = TaskStatus.fromPartial({});

/** What an agent knows after taking over messages as the contract says. */
class Follower {
  readonly tasks = new Map<string, { readonly specKey: string; readonly desiredState: DesiredState }>();
  readonly specs = new Set<string>();
  readonly ingress = new Set<string>();
  sequence = 0;

  take(message: Assignments): void {
    if (message.kind === Kind.COMPLETE) {
      this.tasks.clear();
      this.specs.clear();
      this.ingress.clear();
    } else {
      expect(message.appliesTo).toBe(this.sequence);
    }
    this.sequence = message.resultsIn;
    for (const { serviceId, version } of message.specs) {
      expect(this.specs).not.toContain(`${serviceId}/${version}`);
      this.specs.add(`${serviceId}/${version}`);
    }
    for (const { id, serviceId, specVersion, desiredState } of message.tasks) {
      const specKey = `${serviceId}/${specVersion}`;
      expect(this.specs).toContain(specKey);
      this.tasks.set(id, { specKey, desiredState });
    }
    for (const id of message.removedTaskIds) this.#remove(id);
    for (const { key } of message.ingress) this.ingress.add(key);
    for (const key of message.removedIngressKeys) this.ingress.delete(key);
  }

  #remove(id: string): void {
    const specKey = this.tasks.get(id)?.specKey ?? "";
    this.tasks.delete(id);
    if (![...this.tasks.values()].some((task) => task.specKey === specKey)) this.specs.delete(specKey);
  }
}

function chainOver(
  tasks: Map<string, Task>,
  held = new Set<string>(),
  policy = (): Policy => DEFAULT_POLICY,
  keepsUnknownTasks = (): boolean => false,
): AssignmentFeed {
  return new AssignmentFeed(NODE, {
    tasks: () => tasks.values(),
    task: (id) => tasks.get(id),
    spec: () => buildSpec(),
    ingressEntries: () => [],
    ingressEntry: () => undefined,
    policy,
    keepsUnknownTasks,
    isStopHeld: (id) => held.has(id),
    file: () => undefined,
    registryLogin: () => undefined,
    ...NO_NETWORKS,
  });
}

describe("AssignmentFeed", () => {
  it("gives the agent exactly its tasks and sends each spec once (property)", () => {
    const task = fc.record({
      id: fc.constantFrom("a", "b", "c", "d", "e"),
      version: fc.constantFrom(1, 2),
      nodeId: fc.constantFrom(NODE, NODE, "n2"),
      desiredState: fc.constantFrom(DesiredState.RUNNING, DesiredState.SHUTDOWN, DesiredState.REMOVE),
      state: fc.constantFrom(TaskState.ASSIGNED, TaskState.RUNNING, TaskState.FAILED, TaskState.LOST),
      isGone: fc.boolean(),
      isFlushed: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(task, { maxLength: 40 }), (steps) => {
        const tasks = new Map<string, Task>();
        const versions = new Map<string, number>();
        const chain = chainOver(tasks);
        const follower = new Follower();
        for (const { id, version, nodeId, desiredState, state, isGone, isFlushed } of steps) {
          // A task never changes its version: the same ID with another one is another task.
          const taskId = `${id}${version}`;
          versions.set(taskId, version);
          if (isGone) {
            tasks.delete(taskId);
          } else {
            const status = { state };
            tasks.set(taskId, buildTask({ id: taskId, specVersion: version, nodeId, desiredState, status }));
          }
          chain.markTaskStale(taskId);
          const message = isFlushed ? chain.takeMessage() : undefined;
          if (message !== undefined) follower.take(message);
        }
        const last = chain.takeMessage();
        if (last !== undefined) follower.take(last);
        const assigned = [...tasks.values()].filter(
          ({ nodeId, status }) => nodeId === NODE && status?.state !== TaskState.LOST,
        );
        expect([...follower.tasks.keys()].sort()).toEqual(assigned.map(({ id }) => id).sort());
        for (const one of assigned) {
          const received = follower.tasks.get(one.id)?.desiredState;
          if (one.status?.state !== TaskState.FAILED) {
            expect(received).toBe(one.desiredState);
          } else {
            expect(received).toBeGreaterThanOrEqual(DesiredState.SHUTDOWN);
          }
        }
        expect(chain.isStale).toBe(false);
      }),
    );
  });

  it("withholds a task's stop while the drain gate holds it, also in a complete set", () => {
    const stopping = buildTask({ id: "a", nodeId: NODE, desiredState: DesiredState.SHUTDOWN });
    const tasks = new Map([["a", stopping]]);
    const held = new Set(["a"]);
    const chain = chainOver(tasks, held);
    expect(chain.takeMessage()?.tasks).toMatchObject([{ id: "a", desiredState: DesiredState.RUNNING }]);
    chain.markTaskStale("a");
    expect(chain.takeMessage()).toBeUndefined();
    held.clear();
    chain.markTaskStale("a");
    expect(chain.takeMessage()?.tasks).toMatchObject([{ id: "a", desiredState: DesiredState.SHUTDOWN }]);
  });

  it("sends a secret only to the node of a running task, and removes it when the task has ended", () => {
    const tasks = new Map<string, Task>();
    const spec = buildSpec({ task: { container: { files: [{ versionId: "f1" }] } } });
    const feedOf = (nodeId: string): AssignmentFeed =>
      new AssignmentFeed(nodeId, {
        ...NO_ASSIGNMENTS,
        tasks: () => tasks.values(),
        task: (id) => tasks.get(id),
        spec: () => spec,
        file: (id) => ({ id, content: Buffer.from("hunter2"), isTemplate: false }),
      });
    const [own, other] = [feedOf(NODE), feedOf("n2")];
    expect(own.takeMessage()?.files).toEqual([]);
    expect(other.takeMessage()?.files).toEqual([]);
    const change = (over: Partial<Task>): void => {
      tasks.set("a", buildTask({ id: "a", nodeId: NODE, ...over }));
      own.markTaskStale("a");
      other.markTaskStale("a");
    };
    change({});
    expect(own.takeMessage()).toMatchObject({ tasks: [{ id: "a" }], files: [{ id: "f1" }] });
    change({ desiredState: DesiredState.SHUTDOWN });
    expect(own.takeMessage()).toMatchObject({ tasks: [{ id: "a" }], files: [], removedFileIds: [] });
    // A new session starts while the task stops: its container has the secret already.
    expect(feedOf(NODE).takeMessage()).toMatchObject({ tasks: [{ id: "a" }], files: [] });
    change({ desiredState: DesiredState.SHUTDOWN, status: { ...STATUS, state: TaskState.SHUTDOWN } });
    expect(own.takeMessage()).toMatchObject({ tasks: [], removedTaskIds: [], removedFileIds: ["f1"] });
    change({ nodeId: "n3" });
    expect(feedOf("n3").takeMessage()?.files).toHaveLength(1);
    expect(other.takeMessage()).toBeUndefined();
  });

  it("returns nothing when no task of the agent changed", () => {
    const tasks = new Map([["a", buildTask({ id: "a", nodeId: NODE })]]);
    const chain = chainOver(tasks);
    chain.takeMessage();
    tasks.set(
      "a",
      buildTask({ id: "a", nodeId: NODE, status: { state: TaskState.RUNNING, message: "new" } }),
    );
    chain.markTaskStale("a");
    expect(chain.takeMessage()).toBeUndefined();
  });

  it("sends the policy with the complete set, and again when it changes", () => {
    let policy = DEFAULT_POLICY;
    const chain = chainOver(new Map(), new Set(), () => policy);
    expect(chain.takeMessage()?.policy).toEqual({ rules: [] });
    expect(chain.takeMessage(true)?.policy).toBeUndefined();
    policy = Policy.fromPartial({ rules: [{ name: "apps", stacks: ["*"], privileged: false }] });
    chain.markPolicyStale();
    expect(chain.isStale).toBe(true);
    expect(chain.takeMessage()).toMatchObject({ kind: Kind.INCREMENTAL, policy });
    expect(chain.isStale).toBe(false);
    expect(chain.takeMessage()).toBeUndefined();
  });

  it("says whether agents keep unknown tasks in the complete set, and again when it changes", () => {
    let keepsUnknown = true;
    const feed = chainOver(new Map(), new Set(), undefined, () => keepsUnknown);
    expect(feed.takeMessage()).toMatchObject({ kind: Kind.COMPLETE, keepUnknownTasks: true });
    expect(feed.isStale).toBe(false);
    keepsUnknown = false;
    expect(feed.isStale).toBe(true);
    expect(feed.takeMessage()).toMatchObject({ kind: Kind.INCREMENTAL, keepUnknownTasks: false });
    expect(feed.takeMessage()).toBeUndefined();
    expect(chainOver(new Map()).takeMessage()?.keepUnknownTasks).toBeUndefined();
  });

  it("names the container of a task, for an agent that knows neither", () => {
    const task = buildTask({ id: "a", nodeId: NODE, status: { ...STATUS, containerId: "c1" } });
    expect(chainOver(new Map([["a", task]])).takeMessage()?.tasks).toMatchObject([
      { id: "a", containerId: "c1" },
    ]);
  });
});
