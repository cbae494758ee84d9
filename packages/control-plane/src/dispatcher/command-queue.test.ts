import { MeasureUsage, StartLogs } from "@berth/proto";
import { expect, test } from "vitest";
import { CommandQueue } from "./command-queue.js";
import type { AgentCommand } from "./session.js";

const start = (requestId: string): AgentCommand => ({
  $case: "startLogs",
  value: StartLogs.fromPartial({ requestId }),
});
const stop = (requestId: string): AgentCommand => ({ $case: "stopLogs", value: { requestId } });
const measure = (intervalMs: number): AgentCommand => ({
  $case: "measureUsage",
  value: MeasureUsage.fromPartial({ intervalMs }),
});

function takeAll(queue: CommandQueue): AgentCommand[] {
  const commands: AgentCommand[] = [];
  for (let command = queue.take(); command !== undefined; command = queue.take()) commands.push(command);
  return commands;
}

test("CommandQueue rejects commands beyond its limit, except stops", () => {
  const queue = new CommandQueue();
  const results = Array.from({ length: 5_000 }, (_, index) => queue.push(start(`r${index}`)));
  expect(results.filter(Boolean)).toHaveLength(1_000);
  expect(queue.push(stop("received before"))).toBe(true);
  expect(takeAll(queue)).toHaveLength(1_001);
});

test("CommandQueue drops a start that is stopped before the agent has received it", () => {
  const queue = new CommandQueue();
  for (let index = 0; index < 5_000; index++) {
    expect(queue.push(start(`r${index}`))).toBe(true);
    queue.push(stop(`r${index}`));
  }
  expect(queue.isEmpty).toBe(true);
});

test("CommandQueue keeps the order of commands, and only the latest value of a setting", () => {
  const queue = new CommandQueue();
  for (let index = 0; index < 5_000; index++) queue.push(measure(index));
  queue.push(start("r1"));
  queue.push(start("r2"));
  expect(queue.take()).toEqual(measure(4_999));
  expect(queue.take()).toEqual(start("r1"));
  queue.push(stop("r1"));
  expect(takeAll(queue)).toEqual([start("r2"), stop("r1")]);
});
