import { Availability, NodeState, TaskState } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NodeCounts } from "../core/model/task-index.js";
import { TaskIndex } from "../core/model/task-index.js";
import { ChangedCounts, minTasksPerNode } from "../core/scheduler/node-counts.js";
import { type PlacementRequest, place } from "../core/scheduler/place.js";
import { getRequirements } from "../core/scheduler/requirements.js";
import {
  buildNode,
  buildSpec,
  buildTask,
  CPU,
  clusterSnapshot,
  UNLIMITED_RANGES,
} from "../core/testing/records.js";
import { NodeTable } from "./node-table.js";

const SPREADS = [[], ["node.labels.zone"], ["node.labels.zone", "node.labels.rack"]];

const number = fc.nat(9);
const step = fc.oneof(
  fc.record({
    kind: fc.constant("node" as const),
    node: number,
    zone: fc.constantFrom("a", "b"),
    rack: fc.constantFrom("1", "2"),
    cpus: fc.integer({ min: 1, max: 4 }),
    state: fc.constantFrom(NodeState.READY, NodeState.READY, NodeState.DOWN),
    availability: fc.constantFrom(Availability.ACTIVE, Availability.ACTIVE, Availability.DRAIN),
  }),
  fc.record({ kind: fc.constant("no-node" as const), node: number }),
  fc.record({ kind: fc.constant("task" as const), task: fc.nat(20), node: number, cpus: fc.nat(2) }),
  fc.record({ kind: fc.constant("no-task" as const), task: fc.nat(20) }),
  fc.record({ kind: fc.constant("place" as const), count: fc.nat(12), spread: fc.nat(SPREADS.length - 1) }),
);

const acceptingIn = (table: NodeTable): number => table.spreadIndexes.groupedBy([]).acceptingCount;

describe("the order of load that a NodeTable keeps", () => {
  it("gives the same placement as sorting all nodes (property, random histories)", () => {
    let quick = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = new NodeTable(UNLIMITED_RANGES);
        const own = new TaskIndex();
        for (const made of steps) {
          switch (made.kind) {
            case "node":
              table.put(
                buildNode({
                  id: `n${made.node}`,
                  labels: { zone: made.zone, rack: made.rack },
                  state: made.state,
                  availability: made.availability,
                  description: { nanoCpus: made.cpus * CPU },
                }),
              );
              break;
            case "no-node":
              table.delete(`n${made.node}`);
              break;
            case "task": {
              const spec = buildSpec({ task: { reservations: { nanoCpus: made.cpus * CPU } } });
              const status = { state: TaskState.RUNNING };
              const task = buildTask({
                id: `t${made.task}`,
                slot: made.task,
                nodeId: `n${made.node}`,
                status,
              });
              table.occupy(task, spec);
              own.put(task);
              break;
            }
            case "no-task":
              table.release(`t${made.task}`);
              own.delete(`t${made.task}`);
              break;
            default: {
              const spec = buildSpec({
                task: { reservations: { nanoCpus: CPU / 2 } },
                placement: { spread: SPREADS[made.spread] ?? [] },
              });
              const seek = (tasksByNode: NodeCounts): PlacementRequest => {
                const load = { tasksByNode, occupiedByNode: new Map([["n1", 1]]), avoided: new Map() };
                return { count: made.count, requirements: getRequirements(spec), load };
              };
              // What stays on a node occupies it, so a node that is not there has none.
              const changes = new Map(table.nodes.has("n1") ? [["n1", 1]] : []);
              const staying = new ChangedCounts(own.stableByNode, changes);
              const asMap = new Map(staying);
              expect(place(seek(staying), table)).toEqual(place(seek(asMap), clusterSnapshot(table.nodes)));
              if (
                minTasksPerNode(staying, {
                  acceptingCount: acceptingIn(table),
                  unschedulableNodeIds: table.unschedulableNodeIds,
                }) > 0
              ) {
                quick += 1;
              }
            }
          }
        }
      }),
      { numRuns: 600 },
    );
    expect(quick).toBeGreaterThan(0);
  });
});

describe("the closed nodes that a NodeTable keeps", () => {
  it("contains the nodes that accept no tasks, and removed nodes that tasks refer to (property)", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = new NodeTable(UNLIMITED_RANGES);
        const taskOn = new Map<string, string>();
        for (const made of steps) {
          const id = "node" in made ? `n${made.node}` : "";
          if (made.kind === "node") {
            table.put(buildNode({ id, state: made.state, availability: made.availability }));
          } else if (made.kind === "no-node") {
            table.delete(id);
          } else if (made.kind === "task") {
            const task = buildTask({ id: `t${made.task}`, nodeId: id, status: { state: TaskState.RUNNING } });
            table.occupy(task, buildSpec({}));
            taskOn.set(task.id, id);
          } else if (made.kind === "no-task") {
            table.release(`t${made.task}`);
            taskOn.delete(`t${made.task}`);
          }
          const known = new Set([...table.nodes.keys(), ...taskOn.values()]);
          const closed = [...known].filter((nodeId) => {
            const node = table.get(nodeId);
            return node?.state !== NodeState.READY || node.availability !== Availability.ACTIVE;
          });
          expect([...table.unschedulableNodeIds].sort()).toEqual(closed.sort());
        }
      }),
      { numRuns: 300 },
    );
  });
});
