import { expect, test } from "vitest";
import { CronSpec_Concurrency, RestartPolicy_Condition, ServiceSpec } from "../../gen/berth/v1/spec.js";
import { applySpecDefaults } from "./apply-spec-defaults.js";
import { validateServiceSpec } from "./validate-service-spec.js";

const job = { $case: "replicatedJob", value: { totalCompletions: 3, maxConcurrent: 1 } } as const;

/** Paths of what is wrong with a spec that is right but for these parts. */
function wrong(parts: Parameters<typeof ServiceSpec.fromPartial>[0]): readonly string[] {
  const spec = ServiceSpec.fromPartial({ name: "web", task: { container: { image: "web:1" } }, ...parts });
  return validateServiceSpec(applySpecDefaults(spec)).map(({ path }) => path);
}

test("a job restarts on failure unless it says otherwise, and two runs of a schedule never overlap", () => {
  const spec = applySpecDefaults(ServiceSpec.fromPartial({ mode: job, cron: { schedule: "@daily" } }));
  expect(spec.task?.restart?.condition).toBe(RestartPolicy_Condition.ON_FAILURE);
  expect(spec.cron).toMatchObject({ concurrency: CronSpec_Concurrency.FORBID, history: 3 });
  expect(wrong({ mode: job, cron: { schedule: "@daily" } })).toEqual([]);
});

test("rejects settings that a job cannot have", () => {
  const { ANY } = RestartPolicy_Condition;
  const task = { container: { image: "web:1" }, restart: { condition: ANY } };
  expect(wrong({ mode: job, task })).toEqual(["task.restart.condition"]);
  expect(wrong({ mode: job, ports: [{ target: 80, published: 80 }] })).toEqual(["ports"]);
  expect(wrong({ mode: job, rollback: {} })).toEqual(["rollback"]);
});

test("a schedule is for jobs, and must be one", () => {
  expect(wrong({ cron: { schedule: "@daily" } })).toEqual(["cron"]);
  expect(wrong({ mode: job, cron: { schedule: "sometimes" } })).toEqual(["cron.schedule"]);
  const elsewhere = { schedule: "@daily", timeZone: "Mars/Olympus" };
  expect(wrong({ mode: job, cron: elsewhere })).toEqual(["cron.time_zone"]);
  expect(wrong({ mode: job, cron: { schedule: "@daily", startingDeadlineMs: -1, history: 1_001 } })).toEqual([
    "cron.history",
    "cron.starting_deadline_ms",
  ]);
});

test("automatic scaling needs a replicated service, room between its bounds and something to aim at", () => {
  expect(wrong({ autoscale: { min: 1, max: 4, targetCpuPercent: 62.5 } })).toEqual([]);
  expect(wrong({ autoscale: { min: 0, max: 4, targetCpuPercent: 70 } })).toEqual([]);
  expect(wrong({ autoscale: { min: 0, max: 1 } })).toEqual([]);
  expect(wrong({ autoscale: { min: 0, max: 0 } })).toEqual(["autoscale.max"]);
  expect(wrong({ autoscale: { min: 5, max: 4, targetConnections: 10 } })).toEqual(["autoscale.max"]);
  expect(wrong({ autoscale: { min: 1, max: 4 } })).toEqual(["autoscale"]);
  expect(wrong({ autoscale: { min: 1, max: 4, targetCpuPercent: -1 } })).toContain(
    "autoscale.target_cpu_percent",
  );
  const global = { $case: "global", value: {} } as const;
  expect(wrong({ mode: global, autoscale: { min: 1, max: 4, targetCpuPercent: 70 } })).toEqual(["autoscale"]);
});
