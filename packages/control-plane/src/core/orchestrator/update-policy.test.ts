import {
  UpdateConfig_FailureAction as Action,
  UpdateConfig_Order as Order,
  Rollout_State,
  type ServiceSpec,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildService, buildSpec } from "../testing/records.js";
import { type UpdatePolicy, updatePolicy } from "./update-policy.js";

type SpecPart = Parameters<typeof buildSpec>[0];

const policy = (over: SpecPart = {}): UpdatePolicy => updatePolicy(buildService(), buildSpec(over));
const goingBack = (over: SpecPart): UpdatePolicy =>
  updatePolicy(buildService({ rollout: { state: Rollout_State.ROLLING_BACK } }), buildSpec(over));

const volume = (over: { name: string; readOnly?: boolean }): SpecPart => ({
  task: {
    container: {
      mounts: [
        {
          kind: { $case: "volume", value: { name: over.name } },
          target: "/d",
          readOnly: over.readOnly ?? false,
        },
      ],
    },
  },
});
const HOST_PORT: SpecPart = { ports: [{ target: 80, published: 80, protocol: 1, mode: 2 }] };
const GLOBAL: SpecPart = { mode: { $case: "global", value: {} } };
const withOrder = (order: Order, over: SpecPart = {}): SpecPart => ({ ...over, update: { order } });

describe("updatePolicy", () => {
  it("fills in the defaults", () => {
    expect(policy()).toEqual({
      parallelism: 1,
      delayMs: 0,
      startFirstWithOwner: true,
      startFirst: true,
      onFailure: "rollback",
      monitorMs: 5_000,
      mayComplete: false,
      maxFailureRatio: 0,
      progressDeadlineMs: 300_000,
    });
    const all = policy({ update: { parallelism: 0, progressDeadlineMs: 0, monitorMs: 0 } });
    expect(all).toMatchObject({ parallelism: Number.POSITIVE_INFINITY, monitorMs: 0 });
    expect(all.progressDeadlineMs).toBe(Number.POSITIVE_INFINITY);
  });

  it.each<[string, SpecPart, boolean]>([
    ["starts first by default", {}, true],
    ["stops first with a host-mode port", HOST_PORT, false],
    ["stops first with a volume that it writes to", volume({ name: "data" }), false],
    ["starts first with a volume that it only reads", volume({ name: "data", readOnly: true }), true],
    ["starts first with an anonymous volume", volume({ name: "" }), true],
    ["stops first where a node takes only so many", { placement: { maxReplicasPerNode: 1 } }, false],
    ["stops first when there may only be one", { atMostOne: true }, false],
    [
      "starts first when the order says so, even with a volume",
      withOrder(Order.START_FIRST, volume({ name: "data" })),
      true,
    ],
    ["stops first when the order says so", withOrder(Order.STOP_FIRST), false],
    [
      "cannot start first with a host port on each node",
      withOrder(Order.START_FIRST, { ...HOST_PORT, ...GLOBAL }),
      false,
    ],
    [
      "cannot start first when there may only be one",
      withOrder(Order.START_FIRST, { atMostOne: true }),
      false,
    ],
  ])("%s", (_name, over, startFirst) => {
    expect(policy(over).startFirst).toBe(startFirst);
  });

  it("excludes the stop grace period from the progress deadline", () => {
    const spec = { task: { container: { stopGraceMs: 600_000 } }, update: { order: Order.STOP_FIRST } };
    expect(policy(spec).progressDeadlineMs).toBe(900_000);
  });

  it("uses `rollback`, or else `update`, for a rollback, which is never rolled back itself", () => {
    const update = { parallelism: 3, failureAction: Action.ROLLBACK };
    expect(goingBack({ update })).toMatchObject({ parallelism: 3, onFailure: "pause" });
    const rollback = { parallelism: 7, failureAction: Action.CONTINUE };
    expect(goingBack({ update, rollback })).toMatchObject({ parallelism: 7, onFailure: "continue" });
    const spec: ServiceSpec = buildSpec({ update, rollback });
    expect(updatePolicy(buildService(), spec)).toMatchObject({ parallelism: 3, onFailure: "rollback" });
  });
});
