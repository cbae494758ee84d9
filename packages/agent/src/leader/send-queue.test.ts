import { NodeDescription, type SessionRequest, TaskStatus } from "@berth/proto";
import { expect, test } from "vitest";
import { SendQueue } from "./send-queue.js";

const report = { taskId: "t", serviceId: "s", status: TaskStatus.create(), removed: false };

function open(queue: SendQueue): () => Promise<SessionRequest["message"]> {
  const messages = queue.openSession(queue)[Symbol.asyncIterator]();
  return async () => (await messages.next()).value?.message;
}

test("SendQueue waits for the welcome, and then sends the latest of each kind by urgency", async () => {
  const queue = new SendQueue(NodeDescription.create());
  const next = open(queue);
  queue.reportStatus(report);
  queue.setDescription(NodeDescription.fromPartial({ hostname: "old" }));
  queue.setDescription(NodeDescription.fromPartial({ hostname: "new" }));
  queue.sendHeartbeat({ appliedSequence: 1, lagMs: 0, number: 0 });
  queue.sendHeartbeat({ appliedSequence: 2, lagMs: 0, number: 0 });
  queue.reply({ $case: "tablesApplied", value: { sequence: 2 } });
  queue.onWelcome();
  expect([await next(), await next(), await next(), await next()]).toMatchObject([
    { $case: "heartbeat", value: { appliedSequence: 2 } },
    { $case: "tablesApplied", value: { sequence: 2 } },
    { $case: "description", value: { hostname: "new" } },
    { $case: "statuses", value: { batch: 1, tasks: [{ taskId: "t" }] } },
  ]);
});

test("SendQueue sends what is pending when the session closes, and ends", async () => {
  const queue = new SendQueue(NodeDescription.create());
  const next = open(queue);
  queue.onWelcome();
  const pending = next();
  queue.reportStatus(report);
  queue.closeSession();
  expect((await pending)?.$case).toBe("statuses");
  expect(await next()).toBeUndefined();
});

test("SendQueue keeps statuses and the description for the next session, and drops replies of the last", async () => {
  const queue = new SendQueue(NodeDescription.create());
  open(queue);
  queue.reply({ $case: "tablesApplied", value: { sequence: 7 } });
  queue.closeSession();
  queue.reportStatus(report);
  queue.setDescription(NodeDescription.fromPartial({ hostname: "new" }));
  expect(queue.description.hostname).toBe("new");
  const second = open(queue);
  queue.onWelcome();
  expect(await second()).toMatchObject({ $case: "statuses", value: { tasks: [{ taskId: "t" }] } });
});

test("SendQueue ends the messages of a session that a newer session replaces", async () => {
  const queue = new SendQueue(NodeDescription.create());
  const replaced = open(queue)();
  const next = open(queue);
  expect(await replaced).toBeUndefined();
  queue.onWelcome();
  queue.sendHeartbeat({ appliedSequence: 1, lagMs: 0, number: 0 });
  expect(await next()).toMatchObject({ $case: "heartbeat" });
});

test("SendQueue sends a description that has changed since the hello of the session", async () => {
  const queue = new SendQueue(NodeDescription.create());
  const hello = { description: queue.description };
  queue.setDescription(NodeDescription.fromPartial({ hostname: "new" }));
  const messages = queue.openSession(hello)[Symbol.asyncIterator]();
  queue.onWelcome();
  const { value } = await messages.next();
  expect(value?.message).toMatchObject({ $case: "description", value: { hostname: "new" } });
});
