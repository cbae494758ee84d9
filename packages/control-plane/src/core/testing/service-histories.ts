// Generates random services and events for property tests.
import {
  Availability,
  NodeState,
  PortSpec_Mode,
  PortSpec_Protocol,
  type ServiceSpec,
  UpdateConfig,
  UpdateConfig_Order,
} from "@berth/proto";
import fc from "fast-check";
import type { Action } from "../model/plan.js";
import { buildSpec, CPU, GIB } from "./records.js";
import { buildNodes, World } from "./world.js";

export const NODES = 4;
const { STOP_FIRST, START_FIRST } = UpdateConfig_Order;

export type Event =
  | { readonly kind: "scale"; readonly replicas: number }
  | { readonly kind: "update" }
  | { readonly kind: "reorder" }
  | { readonly kind: "relabel" }
  | { readonly kind: "availability"; readonly node: number; readonly availability: Availability }
  | { readonly kind: "power"; readonly node: number; readonly state: NodeState }
  | { readonly kind: "agent"; readonly pick: number; readonly fails: boolean }
  | { readonly kind: "time"; readonly ms: number };

const node = fc.integer({ min: 1, max: NODES });
/** Most events are progress of agents, so services advance between two faults. */
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("agent" as const),
      pick: fc.nat(99),
      fails: fc.constant(false),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("agent" as const), pick: fc.nat(99), fails: fc.constant(true) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("scale" as const), replicas: fc.integer({ min: 0, max: 8 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("update" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("relabel" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("availability" as const),
      node,
      availability: fc.constantFrom(Availability.ACTIVE, Availability.PAUSE, Availability.DRAIN),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("power" as const),
      node,
      state: fc.constantFrom(NodeState.READY, NodeState.DOWN),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("time" as const), ms: fc.integer({ min: 1, max: 90_000 }) }),
  },
);

const REORDER: fc.Arbitrary<Event> = fc.constant({ kind: "reorder" });

const spec: fc.Arbitrary<ServiceSpec> = fc
  .record({
    replicas: fc.integer({ min: 0, max: 8 }),
    isGlobal: fc.boolean(),
    parallelism: fc.integer({ min: 0, max: 3 }),
    order: fc.constantFrom(STOP_FIRST, START_FIRST),
    delayMs: fc.constantFrom(0, 5_000),
    maxReplicasPerNode: fc.constantFrom(0, 0, 1, 3),
    cpus: fc.constantFrom(0, 0, 1, 3),
    memory: fc.constantFrom(0, 0, 1, 3),
    hostPort: fc.constantFrom(0, 0, 8080),
  })
  .map((params) =>
    buildSpec({
      mode: params.isGlobal
        ? { $case: "global", value: {} }
        : { $case: "replicated", value: { replicas: params.replicas } },
      placement: { maxReplicasPerNode: params.maxReplicasPerNode },
      update: { parallelism: params.parallelism, order: params.order, delayMs: params.delayMs },
      task: {
        container: { image: "web:1" },
        reservations: { nanoCpus: params.cpus * CPU, memoryBytes: params.memory * GIB },
      },
      ports:
        params.hostPort === 0
          ? []
          : [{ target: 80, published: 8080, protocol: PortSpec_Protocol.TCP, mode: PortSpec_Mode.HOST }],
    }),
  );

/** Applies one event, without reconciling. */
export function applyEvent(world: World, event: Event): void {
  switch (event.kind) {
    case "scale":
      if (world.spec.mode?.$case === "global") return;
      world.change(
        { ...world.spec, mode: { $case: "replicated", value: { replicas: event.replicas } } },
        { template: false },
      );
      return;
    case "update":
      world.change(world.spec, { template: true });
      return;
    case "reorder":
      world.change({ ...world.spec, update: otherOrder(world.spec) }, { template: false });
      return;
    case "relabel":
      world.change({ ...world.spec, labels: { at: String(world.nowMs) } }, { template: false });
      return;
    case "availability":
      world.setNode(`n${event.node}`, { availability: event.availability });
      return;
    case "power":
      world.setNode(`n${event.node}`, { state: event.state });
      return;
    case "agent": {
      const ids = [...world.tasks.keys()];
      world.advance(ids[event.pick % Math.max(1, ids.length)] ?? "", event);
      return;
    }
    case "time":
      world.nowMs += event.ms;
  }
}

/** Applies the events, reconciles after each, and then calls `check`. */
export function play(
  input: History,
  check: (world: World) => void,
  observe?: (action: Action, world: World) => void,
): World {
  const world = new World({ spec: input.spec, nodes: buildNodes(NODES), ...(observe ? { observe } : {}) });
  world.settle();
  for (const event of input.events) {
    world.nowMs += 10;
    applyEvent(world, event);
    world.settle();
    check(world);
  }
  return world;
}

function otherOrder({ update }: ServiceSpec): UpdateConfig {
  const order = update?.order === START_FIRST ? STOP_FIRST : START_FIRST;
  return UpdateConfig.fromPartial({ ...update, order });
}

export interface History {
  readonly spec: ServiceSpec;
  readonly events: readonly Event[];
}

const historyOf = (events: fc.Arbitrary<Event>): fc.Arbitrary<History> =>
  fc.record({ spec, events: fc.array(events, { maxLength: 40 }) });

/** Generates histories of services that keep their update order. */
export const history = historyOf(event);
/** Generates histories that also change the update order. */
export const historyWithReorders = historyOf(
  fc.oneof({ weight: 10, arbitrary: event }, { weight: 1, arbitrary: REORDER }),
);
