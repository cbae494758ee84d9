import { LogEntry_Stream, type LogLine } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { resumeStream } from "../../client/leader-change.js";
import { invalidOptionError, parseTail, parseTimeMs } from "../../options/parse-options.js";
import { printWarning } from "../../output/print.js";
import { shortId } from "../../output/services.js";
import { type Style, styled } from "../../output/style.js";
import { oneLine } from "../../output/table.js";
import { terminalText } from "../../output/terminal-text.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { LogPosition } from "./log-position.js";

export interface LogsOptions extends GlobalOptions {
  readonly follow?: boolean;
  readonly tail: string;
  readonly since?: string;
  readonly until?: string;
  readonly timestamps?: boolean;
  readonly raw?: boolean;
  readonly trunc?: boolean;
  readonly taskIds?: boolean;
}

const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;

/** Colors of the line prefixes. Red is left out, since it marks errors. */
const PREFIX_STYLES: readonly Style[] = ["cyan", "yellow", "green", "magenta", "blue"];

/** `berth logs SERVICE|TASK`, `berth service logs SERVICE|TASK` */
export async function showLogs(cli: Cli, options: LogsOptions, target: string): Promise<void> {
  const request = {
    target,
    follow: options.follow ?? false,
    tail: parseTail(options.tail),
    sinceMs: parseTimeOption(cli, "--since", options.since),
    untilMs: parseTimeOption(cli, "--until", options.until),
  };
  if (request.follow && request.untilMs !== 0) {
    throw invalidOptionError("--until", "cannot be combined with --follow");
  }
  await withClient(cli, options, async (client) => {
    const position = new LogPosition(request, cli.now());
    const open = () => client.streamLogs(position.nextRequest(), { signal: cli.signal });
    let width = 0;
    for await (const { message } of request.follow ? resumeStream(cli, open) : open()) {
      if (message?.$case === "warning") printWarning(cli, message.value);
      if (message?.$case !== "line" || !position.recordLine(message.value)) continue;
      const prefix = linePrefix(message.value, options);
      width = Math.max(width, prefix.length);
      await printLine(cli, message.value, prefix.padEnd(width), options);
    }
  });
}

/** Returns ms since the epoch, or 0 if the option is not given. */
function parseTimeOption(cli: Cli, option: string, text: string | undefined): number {
  return text === undefined ? 0 : parseTimeMs(text, { option, nowMs: cli.now() });
}

/** Returns `shop_web.1.k2j3h4@host-2`, the prefix of `docker service logs`. */
function linePrefix({ serviceName, slot, taskId, nodeHostname }: LogLine, options: LogsOptions): string {
  if (options.raw || options.output === "json") return "";
  const id = options.taskIds === false ? "" : `.${options.trunc === false ? taskId : shortId(taskId)}`;
  return oneLine(`${serviceName}${slot === 0 ? "" : `.${slot}`}${id}@${nodeHostname}`);
}

/** Prints a line as the container wrote it, like Docker and kubectl. Waits while the reader of the output is slow. */
async function printLine(cli: Cli, line: LogLine, prefix: string, options: LogsOptions): Promise<void> {
  const text = Buffer.from(line.entry?.line ?? []).toString("utf8");
  const time = formatTime(line.entry?.timeNs ?? "");
  const stream = line.entry?.stream === LogEntry_Stream.STDERR ? "stderr" : "stdout";
  if (options.output === "json") {
    const { taskId, serviceName, slot, nodeHostname } = line;
    const entry = { time, taskId, service: serviceName, slot, node: nodeHostname, stream, text };
    return cli.streams.write("stdout", Buffer.from(`${terminalText(JSON.stringify(entry))}\n`));
  }
  const stamp = options.timestamps && time !== "" ? `${time} ` : "";
  const margin = prefix === "" ? "" : styled(cli, cli[stream], slotStyle(line), `${prefix}    | `);
  await cli.streams.write(stream, Buffer.from(`${stamp}${margin}${text}\n`));
}

/** Returns the color for the tasks of a slot. Global services have one slot per node. */
function slotStyle({ slot, nodeHostname }: LogLine): Style {
  const index = slot === 0 ? [...nodeHostname].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) : slot;
  return PREFIX_STYLES[index % PREFIX_STYLES.length] ?? "cyan";
}

/** Formats a time as RFC 3339 with nanoseconds. Returns an empty string for an invalid time. */
function formatTime(timeNs: string): string {
  if (!/^\d{1,19}$/.test(timeNs)) return "";
  const ns = BigInt(timeNs);
  const seconds = new Date(Number(ns / NS_PER_MS)).toISOString().slice(0, -5);
  return `${seconds}.${(ns % NS_PER_SECOND).toString().padStart(9, "0")}Z`;
}
