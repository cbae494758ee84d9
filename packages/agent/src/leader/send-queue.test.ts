import { Hello, NodeDescription, TaskStatus } from "@berth/proto";
import { expect, test } from "vitest";
import { SendQueue } from "./send-queue.js";
import { StatusOutbox } from "./status-outbox.js";

const hello = Hello.fromPartial({ nodeId: "n" });

test("Outgoing says hello, waits for its welcome, and then the latest of each kind by urgency", async () => {
  const outbox = new StatusOutbox();
  const outgoing = new SendQueue(hello, outbox);
  const messages = outgoing.messages();
  expect((await messages.next()).value?.message).toEqual({ $case: "hello", value: hello });

  outbox.put({ taskId: "t", serviceId: "s", status: TaskStatus.create(), removed: false });
  outgoing.describe(NodeDescription.fromPartial({ hostname: "old" }));
  outgoing.describe(NodeDescription.fromPartial({ hostname: "new" }));
  outgoing.beat({ appliedSequence: 1, lagMs: 0, number: 0 });
  outgoing.beat({ appliedSequence: 2, lagMs: 0, number: 0 });
  outgoing.join();
  const said = [await messages.next(), await messages.next(), await messages.next()];
  expect(said.map(({ value }) => value?.message)).toMatchObject([
    { $case: "heartbeat", value: { appliedSequence: 2 } },
    { $case: "description", value: { hostname: "new" } },
    { $case: "statuses", value: { batch: 1, tasks: [{ taskId: "t" }] } },
  ]);
});

test("Outgoing says what is left when it closes, and ends", async () => {
  const outbox = new StatusOutbox();
  const outgoing = new SendQueue(hello, outbox);
  const messages = outgoing.messages();
  await messages.next();
  outgoing.join();
  const next = messages.next();
  outbox.put({ taskId: "t", serviceId: "s", status: TaskStatus.create(), removed: false });
  outgoing.close();
  expect((await next).value?.message?.$case).toBe("statuses");
  expect((await messages.next()).done).toBe(true);
});
