import { BerthError, type LogEntry, LogEntry_Stream } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildTask } from "../../core/testing/records.js";
import { TaskLog } from "../../dispatcher/relays/log-relay.js";

import { compareTimes, formatLogError, mergePastLogs } from "./past-logs.js";

function chunk(timeNs: string): LogEntry {
  return { stream: LogEntry_Stream.STDOUT, timeNs, line: Buffer.from(timeNs) };
}

/** A log that arrives in pieces, as slowly as it is read. */
function logOf(pieces: readonly (readonly string[])[], error?: Error): TaskLog {
  const log: TaskLog = new TaskLog();
  void (async () => {
    for (const piece of pieces) await log.put(piece.map(chunk));
    log.end(error);
  })();
  return log;
}

describe("mergePastLogs", () => {
  it("yields every line of every log by time (property)", async () => {
    const piece = fc.array(fc.bigInt({ min: 1n, max: 2_000_000_000_000_000_000n }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(piece, { maxLength: 4 }), { maxLength: 5 }), async (logs) => {
        const sources = logs.map((pieces, index) => {
          const sorted = pieces.flat().sort((a, b) => Number(a - b > 0n) - Number(a - b < 0n));
          const cut = pieces.map(({ length }) => sorted.splice(0, length).map(String));
          return { task: buildTask({ id: `t${index}` }), log: logOf(cut.filter(({ length }) => length > 0)) };
        });
        const times: string[] = [];
        for await (const line of mergePastLogs(sources)) {
          if (line.kind === "line") times.push(line.entry.timeNs);
        }
        const expected = logs.flat(2).map(String).sort(compareTimes);
        expect(times).toEqual(expected);
      }),
    );
  });

  it("reports a lost log after its lines, and continues with the others", async () => {
    const broken = new BerthError({ code: "BERTH_NODE_UNREACHABLE", message: "its node is gone" });
    const seen: string[] = [];
    const sources = [
      { task: buildTask({ id: "a" }), log: logOf([["1"], ["3"]], broken) },
      { task: buildTask({ id: "b" }), log: logOf([["2"], ["4"]]) },
    ];
    for await (const line of mergePastLogs(sources)) {
      seen.push(line.kind === "line" ? line.entry.timeNs : `${line.task.id}: ${formatLogError(line.error)}`);
    }
    expect(seen).toEqual(["1", "2", "3", "a: its node is gone", "4"]);
  });
});
