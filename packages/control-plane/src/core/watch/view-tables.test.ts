import { type ClusterUpdate, ClusterView, NodeView, ServiceView, SlotView, TaskView } from "@berth/proto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { AppliedView } from "./testing/applied-view.js";
import { UpdateLog } from "./update-log.js";
import { finalPart, ViewTables } from "./view-tables.js";

const KEYS = ["a", "b", "c"];
const KINDS = ["nodes", "services", "tasks", "slots"] as const;

/** Puts a view with this content, or deletes it when the content is undefined. */
interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly key: string;
  readonly content: number | undefined;
}

const anyStep: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...KINDS),
  key: fc.constantFrom(...KEYS),
  content: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
});

/** The changes between two updates. */
const anyBatches = fc.array(fc.array(anyStep, { maxLength: 6 }), { minLength: 1, maxLength: 12 });

function execute(tables: ViewTables, { kind, key, content }: Step): void {
  if (content === undefined) {
    tables[kind].delete(key);
    return;
  }
  if (kind === "nodes") {
    tables.nodes.put(key, NodeView.fromPartial({ id: key, tasks: content }));
  } else if (kind === "services") {
    tables.services.put(key, ServiceView.fromPartial({ id: key, version: content }));
  } else if (kind === "tasks") {
    tables.tasks.put(key, TaskView.fromPartial({ id: key, restarts: content }));
  } else {
    tables.slots.put(key, SlotView.fromPartial({ key, slot: content }));
  }
}

function expectEqual(applied: AppliedView, tables: ViewTables): void {
  for (const kind of KINDS) {
    const expected = tables[kind].values().toSorted(byText);
    expect([...applied[kind].values()].toSorted(byText)).toEqual(expected);
  }
}

const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

function snapshotOf(tables: ViewTables, sequence: number): readonly ClusterUpdate[] {
  return [...tables.snapshotParts(0), finalPart(positionAt(sequence), 0)];
}

const positionAt = (sequence: number) => ({ epoch: 1, sequence, revision: 0, eventSequence: 0 });

test("ViewTables: a snapshot and the updates after it lead to the same view, from every update on (property)", () => {
  fc.assert(
    fc.property(anyBatches, (batches) => {
      const tables = new ViewTables();
      const log = new UpdateLog();
      const watchers: AppliedView[] = [];
      let sequence = 0;
      for (const batch of batches) {
        for (const step of batch) execute(tables, step);
        const content = tables.takeChanges();
        if (content !== undefined) {
          sequence += 1;
          log.add({ ...finalPart(positionAt(sequence), 0), ...content, events: [] }, positionAt(sequence));
        }
        // A watcher that starts now resumes at the end of the history.
        const watcher = new AppliedView();
        for (const part of snapshotOf(tables, sequence)) watcher.apply(part);
        expectEqual(watcher, tables);
        watchers.push(watcher);
      }
      for (const watcher of watchers) {
        for (let next = (watcher.position?.sequence ?? 0) + 1; next <= sequence; next += 1) {
          const response = log.get(next)?.response.message;
          if (response?.$case === "update") watcher.apply(response.value);
        }
        expect(watcher.position?.sequence).toBe(sequence);
        expectEqual(watcher, tables);
      }
    }),
  );
});

test("ViewTables: an update has only records that differ from the previous update", () => {
  const tables = new ViewTables();
  const node = NodeView.fromPartial({ id: "n1", labels: { zone: "a" } });
  tables.setCluster(ClusterView.fromPartial({ leaderAddress: "10.0.0.1:7400" }));
  tables.nodes.put("n1", node);
  expect(tables.takeChanges()).toMatchObject({ nodes: [node], cluster: { leaderAddress: "10.0.0.1:7400" } });
  tables.setCluster(ClusterView.fromPartial({ leaderAddress: "10.0.0.1:7400" }));
  tables.nodes.put("n1", NodeView.fromPartial({ id: "n1", labels: { zone: "a" } }));
  tables.nodes.put("n2", NodeView.fromPartial({ id: "n2" }));
  tables.nodes.delete("n2");
  expect(tables.takeChanges()).toBeUndefined();
});

test("ViewTables: a large snapshot has several parts, and only the last one has a position", () => {
  const tables = new ViewTables();
  for (let index = 0; index < 4_500; index += 1) {
    tables.tasks.put(`t${index}`, TaskView.fromPartial({ id: `t${index}` }));
  }
  const parts = snapshotOf(tables, 3);
  expect(parts.map(({ tasks }) => tasks.length)).toEqual([0, 2_000, 2_000, 500, 0]);
  expect(parts.map(({ isSnapshot }) => isSnapshot)).toEqual([true, false, false, false, false]);
  expect(parts.map(({ hasMore }) => hasMore)).toEqual([true, true, true, true, false]);
  expect(parts.map(({ position }) => position?.sequence)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
    3,
  ]);
});

test("UpdateLog keeps a limited number of updates", () => {
  const log = new UpdateLog();
  for (let sequence = 1; sequence <= 400; sequence += 1) {
    log.add(finalPart(positionAt(sequence), 0), positionAt(sequence));
  }
  expect(log.get(100)).toBeUndefined();
  expect(log.get(101)?.position.sequence).toBe(101);
  expect(log.get(401)).toBeUndefined();
  const nodes = Array.from({ length: 30_000 }, (_, index) => NodeView.fromPartial({ id: `n${index}` }));
  log.add({ ...finalPart(positionAt(401), 0), nodes }, positionAt(401));
  expect(log.get(400)).toBeUndefined();
  expect(log.get(401)?.position.sequence).toBe(401);
});
