import { describe, expect, test } from "vitest";
import { loadService } from "../../testing/load-text.js";

describe("deploy.mode", () => {
  const modeOf = (lines: string) => loadService(lines).specs[0]?.mode;

  test("the replicas of a job are its completions and its concurrency", () => {
    expect(modeOf("deploy: { mode: replicated-job, replicas: 4 }")).toEqual({
      $case: "replicatedJob",
      value: { totalCompletions: 4, maxConcurrent: 4 },
    });
    expect(modeOf("deploy: { mode: replicated-job }")).toEqual({
      $case: "replicatedJob",
      value: { totalCompletions: 1, maxConcurrent: 1 },
    });
    expect(modeOf("deploy: { mode: global-job }")).toEqual({ $case: "globalJob", value: {} });
  });

  test("a service with a cron schedule is a job by default", () => {
    expect(modeOf('x-berth: { cron: "@daily" }\nscale: 2')).toEqual({
      $case: "replicatedJob",
      value: { totalCompletions: 2, maxConcurrent: 2 },
    });
  });

  test("an autoscaled service starts with its minimum", () => {
    const autoscale = "autoscale: { min: 3, max: 9, target_cpu: 70 }";
    expect(modeOf(`x-berth: { ${autoscale} }`)).toEqual({ $case: "replicated", value: { replicas: 3 } });
    expect(modeOf(`x-berth: { ${autoscale} }\nscale: 5`)).toEqual({
      $case: "replicated",
      value: { replicas: 5 },
    });
  });

  test("a global mode cannot have replicas", () => {
    expect(loadService("deploy: { mode: global-job, replicas: 2 }").messages).toEqual([
      "c.yaml:4:21: services.s.deploy.mode: a global-job service runs one task per node and cannot have replicas",
    ]);
    expect(loadService("scale: 2\ndeploy: { replicas: 3 }").messages).toEqual([
      "c.yaml:5:25: services.s.deploy.replicas: 3 replicas conflict with scale: 2",
    ]);
  });
});
