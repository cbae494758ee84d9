import type { ClusterEvent, StreamEventsRequest, StreamEventsResponse } from "@berth/proto";
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
  const sinceMs = options.since === undefined ? 0 : parseTimeMs(options.since, { option: "--since", nowMs });
  const position = new EventPosition(sinceMs);
  await withClient(cli, options, async (client) => {
    const open = (): AsyncIterable<StreamEventsResponse> =>
      client.streamEvents(
        { follow, service, stack, node, ...position.resumeFields() },
        { signal: cli.signal },
      );
    for await (const { message } of follow ? resumeStream(cli, open) : open()) {
      if (message?.$case === "warning") printWarning(cli, message.value);
      if (message?.$case !== "event") continue;
      const event = message.value;
      if (position.isRepeated(event)) continue;
      position.record(event);
      cli.stdout.write(options.output === "json" ? eventJson(event) : eventLine(cli, event));
    }
  });
}

/** The position in the stream of events after the last printed one, from which a stream resumes with any leader. */
class EventPosition {
  #sinceMs: number;
  #last: ClusterEvent | undefined;
  /** Epochs of the printed events whose time is `#sinceMs`, by key. A new leader sends these events again. */
  #printedEpochs = new Map<string, number>();

  constructor(sinceMs: number) {
    this.#sinceMs = sinceMs;
  }

  resumeFields(): Pick<StreamEventsRequest, "sinceMs" | "afterEpoch" | "afterSequence"> {
    const { epoch: afterEpoch = 0, sequence: afterSequence = 0 } = this.#last ?? {};
    return { sinceMs: this.#sinceMs, afterEpoch, afterSequence };
  }

  /** Returns whether the event was printed already, as an event of an earlier leader. */
  isRepeated(event: ClusterEvent): boolean {
    if (event.timeMs !== this.#sinceMs) return false;
    const printedEpoch = this.#printedEpochs.get(eventKey(event));
    return printedEpoch !== undefined && printedEpoch !== event.epoch;
  }

  /** Records a printed event. */
  record(event: ClusterEvent): void {
    this.#last = event;
    // A new leader cannot resume at the sequence number of its predecessor. It resumes at this time instead.
    if (event.timeMs > this.#sinceMs) {
      this.#sinceMs = event.timeMs;
      this.#printedEpochs = new Map();
    }
    if (event.timeMs === this.#sinceMs) this.#printedEpochs.set(eventKey(event), event.epoch);
  }
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
