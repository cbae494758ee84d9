import { Dependency_Condition, Rollout_State, type Service, type ServiceSpec } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { Plan } from "../model/plan.js";
import { buildService, buildSnapshot, buildSpec, buildTask } from "../testing/records.js";
import type { DependencyState } from "./dependencies.js";
import { planDependencyRestart, restartsWith } from "./dependency-restart.js";

const DB = "shop_db";
const HEALTHY: DependencyState = { started: true, healthy: true, completed: false, failure: "" };

function webSpec(over: Parameters<typeof buildSpec>[0] = {}): ServiceSpec {
  const condition = Dependency_Condition.HEALTHY;
  return buildSpec({ dependsOn: [{ service: DB, condition, restart: true }], ...over });
}

interface Situation {
  readonly web?: Parameters<typeof buildService>[0];
  readonly spec?: ServiceSpec;
  readonly db?: Service | undefined;
  readonly state?: DependencyState;
}

function plan({ web, spec = webSpec(), db, state = HEALTHY }: Situation): Plan | undefined {
  const service = buildService({ spec, ...web });
  const snapshot = buildSnapshot({ service, spec, tasks: [buildTask()] });
  const named = (name: string): Service | undefined => (name === DB ? db : undefined);
  return planDependencyRestart(snapshot, { serviceNamed: named, stateOf: () => state, nowMs: 5_000 });
}

const db = (over: Parameters<typeof buildService>[0] = {}): Service =>
  buildService({ id: "db", templateVersion: 3, ...over });
const knows = (templateVersion: number) => ({ dependencyTemplates: { [DB]: templateVersion } });

describe("planDependencyRestart", () => {
  test("remembers the version of a dependency that it sees for the first time", () => {
    expect(plan({ db: db() })).toMatchObject({
      actions: [{ kind: "update-service", service: { version: 1, dependencyTemplates: { [DB]: 3 } } }],
    });
  });

  test("replaces the tasks after an update of the dependency, and remembers its version", () => {
    expect(plan({ db: db(), web: knows(2) })).toMatchObject({
      actions: [
        {
          kind: "restart-service",
          reason: "restart with shop_db",
          service: {
            version: 2,
            templateVersion: 2,
            dependencyTemplates: { [DB]: 3 },
            spec: { task: { forceUpdate: 1 } },
            rollout: { state: Rollout_State.UPDATING },
          },
        },
      ],
      requeueAtMs: 5_000,
    });
    expect(plan({ db: db(), web: knows(3) })).toBeUndefined();
  });

  test("waits until the update of the dependency has ended and its condition holds", () => {
    const updating = db({ rollout: { state: Rollout_State.UPDATING } });
    expect(plan({ db: updating, web: knows(2) })).toBeUndefined();
    const paused = db({ rollout: { state: Rollout_State.PAUSED } });
    expect(plan({ db: paused, web: knows(2) })).toBeUndefined();
    expect(plan({ db: db(), web: knows(2), state: { ...HEALTHY, healthy: false } })).toBeUndefined();
    expect(plan({ db: db({ removing: true }), web: knows(2) })).toBeUndefined();
    expect(plan({ db: undefined, web: knows(2) })).toBeUndefined();
  });

  test("does nothing for a dependency without restart, a job, and a service that is paused or removed", () => {
    const condition = Dependency_Condition.HEALTHY;
    const plain = webSpec({ dependsOn: [{ service: DB, condition }] });
    expect(plan({ db: db(), web: knows(2), spec: plain })).toBeUndefined();
    const job = webSpec({ mode: { $case: "replicatedJob", value: { totalCompletions: 1 } } });
    expect(plan({ db: db(), web: knows(2), spec: job })).toBeUndefined();
    expect(plan({ db: db(), web: { ...knows(2), removing: true } })).toBeUndefined();
    const rollout = { state: Rollout_State.PAUSED };
    expect(plan({ db: db(), web: { ...knows(2), rollout } })).toBeUndefined();
  });

  test("only a dependency with restart restarts a service", () => {
    expect(restartsWith(webSpec(), DB)).toBe(true);
    expect(restartsWith(webSpec(), "shop_other")).toBe(false);
  });
});
