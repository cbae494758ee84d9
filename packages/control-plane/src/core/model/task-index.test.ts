import { type Task, TaskState } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reconcile } from "../reconcile.js";
import { buildContext, buildTask, idSequence } from "../testing/records.js";
import { applyEvent, history, NODES } from "../testing/service-histories.js";
import { buildNodes, World } from "../testing/world.js";
import { TaskIndex } from "./task-index.js";

const byId = (tasks: Iterable<Task>): readonly Task[] => [...tasks].sort((a, b) => (a.id < b.id ? -1 : 1));

const NODE_IDS = Array.from({ length: NODES }, (_, at) => `n${at + 1}`);

/** All that an index says, whatever the order in which it came to know it. */
const wordsOf = (index: TaskIndex): unknown => ({
  tasks: byId(index.byId.values()),
  calmCount: index.stableCount,
  calmOn: new Map([...index.stableByNode].sort()),
  levels: new Map([...index.stableByNode.nodesByTaskCount].sort()),
  versions: [...index.stableVersions()].sort(),
  restless: byId(index.unstableTasks()),
  stable: NODE_IDS.map((id) => byId(index.stableTasksOn(id))),
});

describe("TaskIndex", () => {
  it("equals a new index after any changes, and leads to the same plans", {
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
          if (world.removed) return;
          follow(index, world);
          expect(wordsOf(index)).toEqual(wordsOf(TaskIndex.of(world.tasks.values())));
          const { snapshot, cluster, now } = world;
          const context = () => buildContext({ now, newId: idSequence("x") });
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

function follow(index: TaskIndex, world: World): void {
  for (const id of [...index.byId.keys()]) if (!world.tasks.has(id)) index.delete(id);
  for (const [id, task] of world.tasks) if (index.byId.get(id) !== task) index.put(task);
}
