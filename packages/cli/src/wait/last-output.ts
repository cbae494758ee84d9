import type { LogLine, Task } from "@berth/proto";
import type { ControlClient } from "../client/client.js";
import { oneLine, truncate } from "../output/table.js";
import type { Cli } from "../process/cli.js";
import { isConverged, type Progress, type ServiceProgress } from "./progress.js";

/** The reasons must not wait long for what may not be there. */
const TIMEOUT_MS = 2_000;
const MAX_SERVICES = 5;
const MAX_WIDTH = 160;

/** What the services whose tasks fail wrote last: often the reason itself. */
export async function lastOutputs(
  cli: Cli,
  client: ControlClient,
  progress: Progress,
): Promise<readonly string[]> {
  const failing = [...progress.services.values()].filter((service) => !isConverged(service));
  const tasks = failing.flatMap((service) => newestFailure(service) ?? []).slice(0, MAX_SERVICES);
  const lines = await Promise.all(tasks.map(({ id }) => lastLine(cli, client, id)));
  return lines.filter((line) => line !== undefined).map(describe);
}

/** Others of the service may run well by now, and have nothing to say about it. */
function newestFailure({ failures }: ServiceProgress): Task | undefined {
  const newestFirst = [...failures.values()].sort((a, b) => b.latest.createdAtMs - a.latest.createdAtMs);
  return newestFirst[0]?.latest;
}

async function lastLine(cli: Cli, client: ControlClient, target: string): Promise<LogLine | undefined> {
  const signal = AbortSignal.any([cli.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  let newest: LogLine | undefined;
  try {
    for await (const { message } of client.streamLogs(
      { target, follow: false, tail: 1, sinceMs: 0, untilMs: 0 },
      { signal },
    )) {
      if (message?.$case === "line" && timeOf(message.value) >= timeOf(newest)) newest = message.value;
    }
  } catch {
    // It is a courtesy: what was read until now is good enough.
  }
  return newest;
}

function timeOf(line: LogLine | undefined): bigint {
  const text = line?.entry?.timeNs ?? "";
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}

function describe({ serviceName, entry: chunk }: LogLine): string {
  const text = oneLine(Buffer.from(chunk?.line ?? []).toString("utf8"));
  return `Last output of ${serviceName}: ${truncate(text, MAX_WIDTH)}`;
}
