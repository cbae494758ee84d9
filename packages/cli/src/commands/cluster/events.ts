import type { ClusterEvent } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { resumeStream } from "../../client/leader-change.js";
import { parseTimeMs } from "../../options/parse-options.js";
import { printWarning } from "../../output/print.js";
import { shortId } from "../../output/services.js";
import { styled } from "../../output/style.js";
import { oneLine } from "../../output/table.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** Length of the longest reason of an event. */
const REASON_WIDTH = 17;

export interface EventsOptions extends GlobalOptions {
  readonly follow?: boolean;
  readonly since?: string;
  readonly service?: string;
  readonly stack?: string;
  readonly node?: string;
}

/** `berth events`: prints events, and with `--follow` continues across leader changes. */
export async function showEvents(cli: Cli, options: EventsOptions): Promise<void> {
  const { follow = false, service = "", stack = "", node = "" } = options;
  const nowMs = cli.now();
  let sinceMs = options.since === undefined ? 0 : parseTimeMs(options.since, { option: "--since", nowMs });
  let lastEvent: ClusterEvent | undefined;
  /** Epochs of the printed events whose time is `sinceMs`, by key. A new leader sends these events again. */
  let printedEpochs = new Map<string, number>();
  await withClient(cli, options, async (client) => {
    const open = () => {
      const resume = { afterEpoch: lastEvent?.epoch ?? 0, afterSequence: lastEvent?.sequence ?? 0 };
      return client.streamEvents(
        { follow, sinceMs, service, stack, node, ...resume },
        { signal: cli.signal },
      );
    };
    for await (const { message } of follow ? resumeStream(cli, open) : open()) {
      if (message?.$case === "warning") printWarning(cli, message.value);
      if (message?.$case !== "event") continue;
      const event = message.value;
      const printedEpoch = event.timeMs === sinceMs ? printedEpochs.get(eventKey(event)) : undefined;
      if (printedEpoch !== undefined && printedEpoch !== event.epoch) continue;
      lastEvent = event;
      // A new leader cannot resume at the sequence number of its predecessor. It resumes at this time instead.
      if (event.timeMs > sinceMs) {
        sinceMs = event.timeMs;
        printedEpochs = new Map();
      }
      if (event.timeMs === sinceMs) printedEpochs.set(eventKey(event), event.epoch);
      cli.stdout.write(options.output === "json" ? eventJson(event) : eventLine(cli, event));
    }
  });
}

/** Returns a key by which an event is recognized after a new leader has reconstructed it. */
function eventKey({ reason, serviceName, taskId, nodeHostname }: ClusterEvent): string {
  return [reason, serviceName, taskId, nodeHostname].join(" ");
}

function eventLine(cli: Cli, event: ClusterEvent): string {
  const { timeMs, reason, message, isWarning, isReconstructed } = event;
  const paddedReason = oneLine(reason).padEnd(REASON_WIDTH);
  const cells = [
    styled(cli, cli.stdout, "dim", new Date(timeMs).toISOString()),
    isWarning ? styled(cli, cli.stdout, "yellow", paddedReason) : paddedReason,
    oneLine(eventSubject(event)),
    oneLine(message),
    isReconstructed ? styled(cli, cli.stdout, "dim", "(reconstructed)") : "",
  ];
  return `${cells.filter((cell) => cell !== "").join("  ")}\n`;
}

/** Returns the subject of the event: `shop_web.1.k2j3h4@host-2`, `shop_web` or `host-2`. */
function eventSubject({ serviceName, slot, taskId, nodeHostname }: ClusterEvent): string {
  const task = taskId === "" ? "" : `${slot === 0 ? "" : `.${slot}`}.${shortId(taskId)}`;
  const node = serviceName !== "" && nodeHostname !== "" ? `@${nodeHostname}` : nodeHostname;
  return `${serviceName}${task}${node}`;
}

function eventJson(event: ClusterEvent): string {
  const { timeMs, reason, message, isWarning, isReconstructed, epoch, sequence, ...details } = event;
  const time = new Date(timeMs).toISOString();
  return `${JSON.stringify({ time, reason, message, ...details, isWarning, isReconstructed, epoch, sequence })}\n`;
}
