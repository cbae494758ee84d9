import { LogEntry_Stream } from "@berth/proto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { buildTask } from "../../core/testing/records.js";
import { TaskLog } from "../../dispatcher/relays/log-relay.js";

import { systemClock } from "../../runtime/clock.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { LiveLogs } from "./live-logs.js";

const STEP_MS = 10;
/** What the agents and the network may hold a line back by; below the window of 100 ms. */
const MAX_DELAY_STEPS = 8;

function timeNs(step: number): string {
  return String(1_000_000_000_000n + BigInt(step));
}

test("LiveLogs yields lines by time when none arrives later than the window (property)", async () => {
  const line = fc.record({
    task: fc.integer({ min: 0, max: 2 }),
    step: fc.integer({ min: 0, max: 60 }),
    delay: fc.integer({ min: 0, max: MAX_DELAY_STEPS }),
  });
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(line, { selector: ({ step }) => step, maxLength: 30 }), async (lines) => {
      const clock = new ManualClock();
      const logs = new LiveLogs({ clock, isComplete: () => true });
      const channels = [0, 1, 2].map((): TaskLog => new TaskLog());
      for (const [task, log] of channels.entries()) logs.add({ task: buildTask({ id: `t${task}` }), log });
      const seen: string[] = [];
      const reading = (async () => {
        for await (const one of logs.lines()) {
          if (one.kind === "line") seen.push(one.entry.timeNs);
        }
      })();
      for (let step = 0; step <= 60 + MAX_DELAY_STEPS; step++) {
        for (const { task, step: writtenAt, delay } of lines) {
          if (writtenAt + delay !== step) continue;
          const chunk = { stream: LogEntry_Stream.STDOUT, timeNs: timeNs(writtenAt), line: Buffer.alloc(0) };
          void channels[task]?.put([chunk]);
        }
        await clock.advance(STEP_MS);
      }
      for (const channel of channels) channel.end();
      await clock.advance(1_000);
      await reading;
      expect(seen).toEqual(lines.map(({ step }) => timeNs(step)).sort());
    }),
    { numRuns: 50 },
  );
});

test("LiveLogs reports a lost log and continues with the others", async () => {
  const logs = new LiveLogs({ clock: systemClock, isComplete: () => true });
  const lost: TaskLog = new TaskLog();
  logs.add({ task: buildTask({ id: "gone" }), log: lost });
  lost.end(new Error("its host burnt down"));
  const seen: string[] = [];
  for await (const line of logs.lines()) {
    if (line.kind === "lost") seen.push(`${line.task.id}: ${line.error}`);
  }
  expect(seen).toEqual(["gone: Error: its host burnt down"]);
});
