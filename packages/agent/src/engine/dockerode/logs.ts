import type { ObservedContainer } from "../../core/docker/observed-container.js";
import type { LogOptions, LogRecord } from "../engine.js";
import type { EngineClient } from "./client.js";
import { demux, rawOutput } from "./demux.js";
import { logLines } from "./output.js";

const MS_PER_S = 1_000;

export async function* readLogs(
  client: EngineClient,
  container: ObservedContainer,
  { follow, tail, sinceMs, untilMs, signal }: LogOptions,
): AsyncGenerator<LogRecord> {
  const body = await client.stream({
    method: "GET",
    path: `/containers/${container.id}/logs`,
    query: {
      stdout: "1",
      stderr: "1",
      timestamps: "1",
      follow: follow ? "1" : "0",
      tail: tail < 0 ? "all" : String(tail),
      since: (sinceMs / MS_PER_S).toFixed(3),
      ...(untilMs === 0 ? {} : { until: (untilMs / MS_PER_S).toFixed(3) }),
    },
    signal,
  });
  yield* logLines(container.tty ? rawOutput(body) : demux(body));
}
