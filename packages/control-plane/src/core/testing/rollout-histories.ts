// Generates random deployments of good and bad versions, with faults, for property tests.
import { Availability, NodeState, type ServiceSpec, UpdateConfig_Order } from "@berth/proto";
import fc from "fast-check";
import type { Action } from "../model/plan.js";
import { buildSpec } from "./records.js";
import { buildNodes, World } from "./world.js";

const NODES = 4;
/** Kinds of images, by how their tasks behave in the test world. */
const KINDS = ["good", "healthy", "crashing", "never", "unpullable", "unplaceable"] as const;

type Event =
  | {
      readonly kind: "deploy";
      readonly version: (typeof KINDS)[number];
      readonly failureAction: 0 | 1 | 2 | 3;
    }
  | { readonly kind: "scale"; readonly replicas: number }
  | { readonly kind: "relabel" }
  | { readonly kind: "rollback" }
  | { readonly kind: "agents"; readonly rounds: number }
  | { readonly kind: "fails"; readonly pick: number }
  | {
      readonly kind: "node";
      readonly node: number;
      readonly availability: Availability;
      readonly state: NodeState;
    }
  | { readonly kind: "time"; readonly ms: number };

/** The settings of a service and the events that happen to it. */
export interface RolloutHistory {
  readonly replicas: number;
  readonly isGlobal: boolean;
  readonly order: UpdateConfig_Order;
  readonly parallelism: number;
  readonly delayMs: number;
  readonly monitorMs: number;
  readonly maxFailureRatio: number;
  readonly events: readonly Event[];
}

const record = fc.record;
const literal = <T extends string>(kind: T): fc.Arbitrary<T> => fc.constant(kind);

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 3,
    arbitrary: record({
      kind: literal("deploy"),
      version: fc.constantFrom(...KINDS),
      failureAction: fc.constantFrom(0, 1, 2, 3),
    }),
  },
  { weight: 1, arbitrary: record({ kind: literal("scale"), replicas: fc.integer({ min: 0, max: 6 }) }) },
  { weight: 1, arbitrary: record({ kind: literal("relabel") }) },
  { weight: 1, arbitrary: record({ kind: literal("rollback") }) },
  { weight: 8, arbitrary: record({ kind: literal("agents"), rounds: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: record({ kind: literal("fails"), pick: fc.nat(99) }) },
  {
    weight: 1,
    arbitrary: record({
      kind: literal("node"),
      node: fc.integer({ min: 1, max: NODES }),
      availability: fc.constantFrom(Availability.ACTIVE, Availability.PAUSE, Availability.DRAIN),
      state: fc.constantFrom(NodeState.READY, NodeState.READY, NodeState.DOWN),
    }),
  },
  { weight: 3, arbitrary: record({ kind: literal("time"), ms: fc.integer({ min: 1, max: 20_000 }) }) },
);

export const rolloutHistory: fc.Arbitrary<RolloutHistory> = record({
  replicas: fc.integer({ min: 1, max: 5 }),
  isGlobal: fc.boolean(),
  order: fc.constantFrom(UpdateConfig_Order.STOP_FIRST, UpdateConfig_Order.START_FIRST),
  parallelism: fc.integer({ min: 0, max: 3 }),
  delayMs: fc.constantFrom(0, 0, 3_000),
  monitorMs: fc.constantFrom(0, 1_000, 5_000),
  maxFailureRatio: fc.constantFrom(0, 0, 0.4, 1),
  events: fc.array(event, { maxLength: 40 }),
});

/** Returns the world at the start of a history. */
export function buildWorld(history: RolloutHistory, observe?: (action: Action, world: World) => void): World {
  const spec = buildSpec({
    mode: history.isGlobal
      ? { $case: "global", value: {} }
      : { $case: "replicated", value: { replicas: history.replicas } },
    task: { container: { image: "good:1" } },
    update: updateConfig(history, 0),
  });
  return new World({ spec, nodes: buildNodes(NODES), ...(observe ? { observe } : {}) });
}

const updateConfig = (history: RolloutHistory, failureAction: 0 | 1 | 2 | 3): ServiceSpec["update"] => {
  const { order, parallelism, delayMs, monitorMs, maxFailureRatio } = history;
  const progressDeadlineMs = 60_000;
  return { order, parallelism, delayMs, monitorMs, maxFailureRatio, failureAction, progressDeadlineMs };
};

/** Applies one event, without reconciling. */
export function applyEvent(world: World, event: Event, history: RolloutHistory): void {
  switch (event.kind) {
    case "deploy": {
      const isUnplaceable = event.version === "unplaceable";
      const image = `${isUnplaceable ? "good" : event.version}:${world.service.version + 1}`;
      const constraints = isUnplaceable ? ["node.id == nowhere"] : [];
      const { mode } = world.spec;
      const spec = buildSpec({ task: { container: { image } }, placement: { constraints } });
      const update = updateConfig(history, event.failureAction);
      world.deploy({ ...spec, ...(mode === undefined ? {} : { mode }), update });
      return;
    }
    case "scale":
      if (history.isGlobal) return;
      world.deploy({ ...world.spec, mode: { $case: "replicated", value: { replicas: event.replicas } } });
      return;
    case "relabel":
      world.deploy({ ...world.spec, labels: { at: String(world.nowMs) } });
      return;
    case "rollback": {
      const healthy = world.revisions.get(world.service.healthyVersion);
      if (healthy !== undefined) world.deploy(healthy, "as asked");
      return;
    }
    case "agents":
      for (let round = 0; round < event.rounds; round += 1) {
        world.nowMs += 100;
        for (const id of [...world.tasks.keys()]) world.advance(id, { fails: false });
        world.settle();
      }
      return;
    case "fails": {
      const ids = [...world.tasks.keys()];
      world.advance(ids[event.pick % Math.max(1, ids.length)] ?? "", { fails: true });
      return;
    }
    case "node":
      world.setNode(`n${event.node}`, { availability: event.availability, state: event.state });
      return;
    case "time":
      world.nowMs += event.ms;
  }
}

/** Makes all nodes ready and active again. */
export function endFaults(world: World): void {
  for (const id of world.nodes.keys()) {
    world.setNode(id, { state: NodeState.READY, availability: Availability.ACTIVE });
  }
}
