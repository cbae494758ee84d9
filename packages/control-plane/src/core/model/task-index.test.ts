import { type Task, TaskState } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reconcile } from "../reconcile.js";
import { buildContext, buildTask, idSequence } from "../testing/records.js";
import { applyEvent, history, NODES } from "../testing/service-histories.js";
import { buildNodes, World } from "../testing/world.js";
import { TaskIndex } from "./task-index.js";

const sortById = (tasks: Iterable<Task>): readonly Task[] =>
  [...tasks].sort((a, b) => (a.id < b.id ? -1 : 1));

const NODE_IDS = Array.from({ length: NODES }, (_, at) => `n${at + 1}`);

/** Returns all values that an index provides, regardless of the order in which tasks were added. */
const contentOf = (index: TaskIndex): unknown => ({
  tasks: sortById(index.byId.values()),
  stableCount: index.stableCount,
  stableByNode: new Map([...index.stableByNode].sort()),
  nodesByStableCount: new Map([...index.stableByNode.nodesByTaskCount].sort()),
  stableVersions: [...index.stableVersions()].sort(),
  unstable: sortById(index.unstableTasks()),
  stableOn: NODE_IDS.map((id) => sortById(index.stableTasksOn(id))),
});

describe("TaskIndex", () => {
  it("leads to the same content and plans as a new index after any changes", {
    timeout: 60_000,
  }, () => {
    fc.assert(
      fc.property(history, ({ spec, events }) => {
        const world = new World({ spec, nodes: buildNodes(NODES) });
        const index = new TaskIndex();
        world.settle();
        for (const event of events) {
          world.settleOverTime();
          applyEvent(world, event);
          if (world.isRemoved) return;
          updateIndex(index, world);
          expect(contentOf(index)).toEqual(contentOf(TaskIndex.of(world.tasks.values())));
          const { snapshot, cluster, nowMs } = world;
          const context = () => buildContext({ nowMs, newId: idSequence("x") });
          expect(reconcile({ ...snapshot, index }, cluster, context())).toEqual(
            reconcile(snapshot, cluster, context()),
          );
        }
      }),
      { numRuns: 200 },
    );
  });

  it("counts a task as stable only while it is alone in its slot", () => {
    const running = { status: { state: TaskState.RUNNING } };
    const first = buildTask({ id: "t1", slot: 1, nodeId: "n1", ...running });
    const second = buildTask({ id: "t2", slot: 1, nodeId: "n2", ...running });
    const index = TaskIndex.of([first]);
    expect([index.stableCount, [...index.unstableTasks()]]).toEqual([1, []]);
    index.put(second);
    expect([index.stableCount, [...index.unstableTasks()]]).toEqual([0, [first, second]]);
    index.delete("t1");
    expect([index.stableCount, [...index.stableByNode]]).toEqual([1, [["n2", 1]]]);
  });
});

/** Updates the index with all changes of the world's tasks. */
function updateIndex(index: TaskIndex, world: World): void {
  for (const id of [...index.byId.keys()]) {
    if (!world.tasks.has(id)) index.delete(id);
  }
  for (const [id, task] of world.tasks) {
    if (index.byId.get(id) !== task) index.put(task);
  }
}
