import type { NeededLayer } from "@berth/proto";
import type { ControlClient } from "../client/client.js";
import {
  type PushedContent,
  type PushProgress,
  pushContent,
  type UploadMessage,
} from "../images/push-content.js";
import { formatBytes, pluralize } from "../output/human.js";
import { progressLine } from "../output/progress-line.js";
import type { Cli, Terminal } from "../process/cli.js";
import { type ShippedDirectory, shippedArchive } from "./read-shipments.js";

/** Size of a message: large enough that a message costs little, and small enough for the queues of servers. */
const CHUNK_BYTES = 256 * 1024;

export interface ShipmentPush {
  readonly directories: readonly ShippedDirectory[];
  /** Terminal for the progress. Undefined to print nothing. */
  readonly terminal: Terminal | undefined;
}

/**
 * Uploads the host files and directories that services mount to a few nodes, unless nodes have them. The nodes that run
 * the services fetch them from there.
 *
 * @throws the server's BerthError; BerthError BERTH_CONFLICT when a file has changed since it was read
 */
export async function pushShipments(
  cli: Cli,
  client: ControlClient,
  { directories, terminal }: ShipmentPush,
): Promise<void> {
  for (const directory of directories) {
    const print = terminal === undefined ? () => {} : progressLine(terminal, cli.now);
    const result = await pushContent(
      client,
      contentOf(directory),
      (at) => {
        if (terminal?.isTty) print(shipmentText(directory, at), false);
      },
      cli.signal,
    );
    print(shipmentText(directory, result), true);
  }
}

/** Returns one line for each file or directory that would be sent, for a dry run. */
export function shipmentDryRunText(directories: readonly ShippedDirectory[]): string {
  return directories.map((directory) => `${shipmentText(directory, undefined)}\n`).join("");
}

function shipmentText({ source, files, bytes }: ShippedDirectory, state: PushProgress | undefined): string {
  const size = `${source} (${pluralize(files, "file")}, ${formatBytes(bytes)})`;
  if (state === undefined) return `Would ship ${size}`;
  const sent = state.sentBytes === 0 ? [] : [`${formatBytes(state.sentBytes)} sent`];
  const stored = state.storedOn.length === 0 ? [] : [`on ${state.storedOn.join(", ")}`];
  const parts = [...sent, ...stored];
  return `Shipping ${size}${parts.length === 0 ? "" : `: ${parts.join(", ")}`}`;
}

function contentOf(directory: ShippedDirectory): PushedContent {
  const { source: image, digest: imageId } = directory;
  const start = { image, imageId, layers: [imageId], platform: "", isShipped: true };
  return { start, nodes: [], messages: (needed) => archiveMessages(directory, needed) };
}

/** Yields the messages of an archive, from where an interrupted upload has stopped. */
async function* archiveMessages(
  directory: ShippedDirectory,
  [needed]: readonly NeededLayer[],
): AsyncGenerator<UploadMessage> {
  if (needed !== undefined) {
    yield { $case: "layerStart", value: { digest: needed.digest } };
    for await (const data of chunksFrom(shippedArchive(directory), needed.offset)) {
      yield { $case: "data", value: data };
    }
    yield { $case: "layerEnd", value: {} };
  }
  yield { $case: "config", value: Buffer.alloc(0) };
}

/** Combines small chunks, after skipping the first `offset` bytes. */
async function* chunksFrom(chunks: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Buffer> {
  let toSkip = offset;
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    const rest = chunk.subarray(Math.min(toSkip, chunk.length));
    toSkip -= chunk.length - rest.length;
    // An empty view would keep the skipped chunk in memory.
    if (rest.length === 0) continue;
    parts.push(rest);
    bytes += rest.length;
    if (bytes < CHUNK_BYTES) continue;
    yield Buffer.concat(parts);
    parts = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(parts);
}
