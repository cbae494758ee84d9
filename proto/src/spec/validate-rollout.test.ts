import { describe, expect, test } from "vitest";
import { Dependency_Condition, ServiceSpec, UpdateConfig_FailureAction } from "../../gen/berth/v1/spec.js";
import { applySpecDefaults } from "./apply-spec-defaults.js";
import { validateServiceSpec } from "./validate-service-spec.js";

function violations(change: Parameters<typeof ServiceSpec.fromPartial>[0]): readonly string[] {
  const base = { name: "web", task: { container: { image: "nginx" } } };
  const spec = applySpecDefaults(ServiceSpec.fromPartial({ ...base, ...change }));
  return validateServiceSpec(spec).map(({ path, message }) => `${path}: ${message}`);
}

describe("validateServiceSpec", () => {
  test("accepts a failure ratio from 0 to 1", () => {
    expect(violations({ update: { maxFailureRatio: 0.25 }, rollback: { maxFailureRatio: 1 } })).toEqual([]);
    expect(violations({ update: { maxFailureRatio: 1.5 } })).toEqual([
      "update.max_failure_ratio: 1.5 is not between 0 and 1",
    ]);
    expect(violations({ update: { maxFailureRatio: Number.NaN } })).toHaveLength(1);
  });

  test("rejects a rollback of a rollback and negative durations", () => {
    const rollback = { failureAction: UpdateConfig_FailureAction.ROLLBACK, monitorMs: -1 };
    expect(violations({ rollback })).toEqual([
      "rollback.monitor_ms: the duration is negative",
      "rollback.failure_action: a rollback that fails cannot be rolled back; use pause or continue",
    ]);
  });

  test("rejects dependencies on itself, duplicate dependencies and missing conditions", () => {
    const { STARTED, UNSPECIFIED } = Dependency_Condition;
    const dependsOn = [
      { service: "db", condition: STARTED },
      { service: "db", condition: STARTED },
      { service: "web", condition: STARTED },
      { service: "a b", condition: UNSPECIFIED },
    ];
    expect(violations({ dependsOn })).toEqual([
      "depends_on[1]: db is named twice",
      "depends_on[2]: a service cannot depend on itself",
      expect.stringContaining("depends_on[3].service: invalid service name"),
      "depends_on[3].condition: the condition is not set",
    ]);
  });

  test("rejects spread preferences with unknown attributes", () => {
    expect(violations({ placement: { spread: ["node.labels.zone", "node.hostname"] } })).toEqual([]);
    const wrong = violations({ placement: { spread: ["zone", "node.labels.a == b"] } });
    expect(wrong).toHaveLength(2);
    expect(wrong[1]).toContain("is not a node attribute");
  });

  test("rejects negative reservations and reservations above the limit", () => {
    expect(
      violations({ task: { container: { image: "a" }, reservations: { generic: { gpu: -1 } } } }),
    ).toEqual(["task.reservations.generic.gpu: -1 is negative"]);
    const task = { container: { image: "a" }, limits: { pids: 5 }, reservations: { pids: 6 } };
    expect(violations({ task })).toEqual([
      "task.reservations.pids: the process reservation exceeds the limit",
    ]);
  });
});
