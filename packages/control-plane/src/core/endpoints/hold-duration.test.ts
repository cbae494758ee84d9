import { AutoscaleSpec, DesiredState, type Task, TaskState } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { buildService, buildSnapshot, buildSpec, buildTask } from "../testing/records.js";
import { DEFAULT_HOLD_MS, holdDurationMs } from "./hold-duration.js";

type Spec = Parameters<typeof buildSpec>[0];

function holdOf(spec: Spec, tasks: readonly Task[]): number {
  const built = buildSpec(spec);
  return holdDurationMs(buildSnapshot({ service: buildService({ spec: built }), spec: built, tasks }));
}

const traffic = (holdMs?: number): Spec => ({
  traffic: { proxyProtocol: false, affinity: 0, balance: 0, ...(holdMs === undefined ? {} : { holdMs }) },
});
const unplaced = (message: string): Task =>
  buildTask({ nodeId: "", status: { state: TaskState.NEW, message } });

describe("holdDurationMs()", () => {
  test.each<[string, Spec, number]>([
    ["no setting", {}, DEFAULT_HOLD_MS],
    ["other traffic settings", traffic(), DEFAULT_HOLD_MS],
    ["a duration", traffic(2_000), 2_000],
    ["holding off", traffic(0), 0],
    ["no replicas", { mode: { $case: "replicated", value: { replicas: 0 } } }, 0],
  ])("returns the duration of a service with %s", (_, spec, expected) => {
    expect(holdOf(spec, [])).toBe(expected);
  });

  test("continues while a service that starts on the first connection has no tasks", () => {
    const mode = { $case: "replicated", value: { replicas: 0 } } as const;
    const autoscale = AutoscaleSpec.fromPartial({ min: 0, max: 1 });
    expect(holdOf({ mode, autoscale }, [])).toBe(DEFAULT_HOLD_MS);
  });

  test("is 0 when no task can be placed", () => {
    expect(holdOf({}, [unplaced("0/3 nodes match")])).toBe(0);
    expect(holdOf({}, [unplaced("0/3 nodes match"), buildTask({ id: "other" })])).toBe(DEFAULT_HOLD_MS);
  });

  test("continues while tasks have not been placed yet or wait for something", () => {
    expect(holdOf({}, [unplaced("")])).toBe(DEFAULT_HOLD_MS);
    expect(holdOf({}, [unplaced("waiting for db to be healthy")])).toBe(DEFAULT_HOLD_MS);
  });

  test("continues while the only task of a replicated service stops before the next one exists", () => {
    expect(holdOf({}, [buildTask({ desiredState: DesiredState.SHUTDOWN })])).toBe(DEFAULT_HOLD_MS);
  });

  test("is 0 for a global service that should have no tasks", () => {
    expect(holdOf({ mode: { $case: "global", value: {} } }, [])).toBe(0);
    expect(holdOf({ mode: { $case: "global", value: {} } }, [buildTask({})])).toBe(DEFAULT_HOLD_MS);
  });
});
