import { expect, test } from "vitest";
import { containerWith } from "../core/testing.js";
import { TaskRecord } from "./task-record.js";

test.each(["unknown", "failed"] as const)(
  "TaskRecord looks again after a start whose outcome is %s",
  (kind) => {
    const record = new TaskRecord("t1");
    const container = containerWith({ state: "created" });
    record.containers.set(container.id, container);
    const step = { kind: "start", containerId: container.id } as const;
    record.noteOutcome(step, { kind, reason: "unexpected EOF" }, 0);
    expect([...record.stale]).toEqual([container.id]);
  },
);
