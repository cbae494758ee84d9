import { LogEntry_Stream } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

describe("service logs", () => {
  test("prefixes lines with task and node, and separates stdout from stderr", async () => {
    const line = (text: string, stream: LogEntry_Stream) => ({
      message: {
        $case: "line" as const,
        value: {
          taskId: "taskonexxxxxxxxx",
          serviceName: "shop_web",
          slot: 1,
          nodeHostname: "host-1",
          entry: { stream, timeNs: "1764000000123456789", line: Buffer.from(text) },
        },
      },
    });
    const streamLogs: FakeControlHandlers["streamLogs"] = async function* () {
      yield line("hello", LogEntry_Stream.STDOUT);
      yield { message: { $case: "warning", value: "host-2 is down" } };
      yield line("wörld", LogEntry_Stream.STDERR);
    };
    const { code, out, err } = await berth("service logs -t shop_web", { streamLogs });
    expect(code).toBe(0);
    expect(out).toBe("2025-11-24T16:00:00.123456789Z shop_web.1.taskonexxxxx@host-1    | hello\n");
    expect(err).toBe(
      "warning: host-2 is down\n2025-11-24T16:00:00.123456789Z shop_web.1.taskonexxxxx@host-1    | wörld\n",
    );
  });
});
