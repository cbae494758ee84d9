import { UpdateConfig_FailureAction, UpdateConfig_Order } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { loadService } from "../../testing/load-text.js";

describe("update_config and rollback_config", () => {
  test("reads all keys of a rollout", () => {
    const { specs, messages } = loadService(`deploy:
  update_config:
    parallelism: 0
    delay: 1m30s
    failure_action: pause
    monitor: 500ms
    max_failure_ratio: 0.25
    order: start-first
  rollback_config:
    parallelism: 3
    delay: 1s
    failure_action: continue
    monitor: 2s
    max_failure_ratio: "1"
    order: stop-first
x-berth: { progress_deadline: 2m }`);
    expect(messages).toEqual([]);
    expect(specs[0]).toMatchObject({
      update: {
        parallelism: 0,
        delayMs: 90_000,
        failureAction: UpdateConfig_FailureAction.PAUSE,
        monitorMs: 500,
        maxFailureRatio: 0.25,
        order: UpdateConfig_Order.START_FIRST,
        progressDeadlineMs: 120_000,
      },
      rollback: {
        parallelism: 3,
        delayMs: 1_000,
        failureAction: UpdateConfig_FailureAction.CONTINUE,
        monitorMs: 2_000,
        maxFailureRatio: 1,
        order: UpdateConfig_Order.STOP_FIRST,
        progressDeadlineMs: 120_000,
      },
    });
  });

  test("reports invalid values of a rollout", () => {
    const { messages } = loadService(`deploy:
  update_config: { failure_action: explode, max_failure_ratio: 2, monitor: 5, paralelism: 1 }
  rollback_config: { failure_action: rollback, max_failure_ratio: half }`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:5:40: services.s.deploy.update_config.failure_action: "explode" is invalid; use pause, continue, rollback",
        "c.yaml:5:68: services.s.deploy.update_config.max_failure_ratio: 2 is not between 0 and 1",
        "c.yaml:5:80: services.s.deploy.update_config.monitor: the duration "5" has no unit; did you mean "5s"?",
        "c.yaml:5:83: services.s.deploy.update_config.paralelism: unknown key "paralelism"; did you mean "parallelism"?",
        "c.yaml:6:42: services.s.deploy.rollback_config.failure_action: "rollback" is invalid; use pause, continue",
        "c.yaml:6:71: services.s.deploy.rollback_config.max_failure_ratio: must be a number, not the text "half"",
      ]
    `);
  });
});
