import type { ImageUpload, NeededLayer, PushImageRequest } from "@berth/proto";
import type { ControlClient } from "../client/client.js";
import { formatBytes, pluralize } from "../output/human.js";
import { progressLine } from "../output/progress-line.js";
import type { Cli, Terminal } from "../process/cli.js";
import { type ShippedDirectory, shippedArchive } from "./read-shipments.js";

/** Large enough that a message costs little, and small enough for the queues of servers. */
const CHUNK_BYTES = 256 * 1024;

export interface ShipmentPush {
  readonly directories: readonly ShippedDirectory[];
  /** Where to print what is sent. Undefined to print nothing. */
  readonly terminal: Terminal | undefined;
}

/**
 * Sends files and directories to nodes, unless nodes have them. The nodes that run the services fetch them from there.
 * @throws BerthError of the server; BERTH_CONFLICT when a file has changed since it was read
 */
export async function pushShipments(
  cli: Cli,
  client: ControlClient,
  { directories, terminal }: ShipmentPush,
): Promise<void> {
  for (const directory of directories) {
    const print = terminal === undefined ? () => {} : progressLine(terminal, cli.now);
    const result = await pushDirectory(cli, client, directory, (at) => {
      if (terminal?.isTty) print(shipmentText(directory, at), false);
    });
    print(shipmentText(directory, result), true);
  }
}

/** What a dry run would send, one line for each directory. */
export function shipmentNotes(directories: readonly ShippedDirectory[]): string {
  return directories.map((directory) => `${shipmentText(directory, undefined)}\n`).join("");
}

interface PushState {
  readonly sentBytes: number;
  /** Names of the nodes that have it. */
  readonly storedOn: readonly string[];
}

function shipmentText({ source, files, bytes }: ShippedDirectory, state: PushState | undefined): string {
  const size = `${source} (${pluralize(files, "file")}, ${formatBytes(bytes)})`;
  if (state === undefined) return `Would ship ${size}`;
  const sent = state.sentBytes === 0 ? [] : [`${formatBytes(state.sentBytes)} sent`];
  const stored = state.storedOn.length === 0 ? [] : [`on ${state.storedOn.join(", ")}`];
  const parts = [...sent, ...stored];
  return `Shipping ${size}${parts.length === 0 ? "" : `: ${parts.join(", ")}`}`;
}

async function pushDirectory(
  cli: Cli,
  client: ControlClient,
  directory: ShippedDirectory,
  onProgress: (state: PushState) => void,
): Promise<PushState> {
  const ended = new AbortController();
  const signal = AbortSignal.any([cli.signal, ended.signal]);
  let state: PushState = { sentBytes: 0, storedOn: [] };
  const report = (change: Partial<PushState>): void => {
    state = { ...state, ...change };
    onProgress(state);
  };
  const upload = new DirectoryUpload(directory, (bytes) => report({ sentBytes: state.sentBytes + bytes }));
  try {
    for await (const { message } of client.pushImage(upload.messages(), { signal })) {
      if (message?.$case === "needed") upload.start(message.value.layers);
      if (message?.$case === "stored") {
        upload.finish();
        report({ storedOn: [...state.storedOn, message.value.nodeHostname] });
      }
    }
    return state;
  } catch (error) {
    // The failure of the upload is the cause: the call only ends with it.
    throw upload.error ?? error;
  } finally {
    ended.abort(new Error("the push has ended"));
    upload.finish();
  }
}

/** The messages that send one directory. */
class DirectoryUpload {
  /** Why the directory could not be read. Undefined when it could. */
  error: unknown;
  readonly #directory: ShippedDirectory;
  readonly #onSent: (bytes: number) => void;
  readonly #needed: Promise<readonly NeededLayer[] | undefined>;
  #settleNeeded: (needed: readonly NeededLayer[] | undefined) => void = () => {};

  constructor(directory: ShippedDirectory, onSent: (bytes: number) => void) {
    this.#directory = directory;
    this.#onSent = onSent;
    this.#needed = new Promise((resolve) => {
      this.#settleNeeded = resolve;
    });
  }

  /** Starts to send what the node needs. */
  start(needed: readonly NeededLayer[]): void {
    this.#settleNeeded(needed);
  }

  /** Ends the upload when nodes have the directory. */
  finish(): void {
    this.#settleNeeded(undefined);
  }

  async *messages(): AsyncGenerator<PushImageRequest> {
    const { source, digest } = this.#directory;
    const start = { image: source, imageId: digest, layers: [digest], platform: "", isShipped: true };
    yield { upload: { message: { $case: "start", value: start } }, nodes: [] };
    const needed = await this.#needed;
    if (needed === undefined) return;
    try {
      for await (const message of this.#archive(needed)) yield { upload: { message }, nodes: [] };
    } catch (error) {
      this.error = error;
      throw error;
    }
  }

  /** Yields the archive from where an interrupted upload has stopped. */
  async *#archive([needed]: readonly NeededLayer[]): AsyncGenerator<NonNullable<ImageUpload["message"]>> {
    if (needed !== undefined) {
      yield { $case: "layerStart", value: { digest: needed.digest } };
      for await (const data of chunksFrom(shippedArchive(this.#directory), needed.offset)) {
        yield { $case: "data", value: data };
        this.#onSent(data.length);
      }
      yield { $case: "layerEnd", value: {} };
    }
    yield { $case: "config", value: Buffer.alloc(0) };
  }
}

/** Combines small chunks, and leaves out the first bytes. */
async function* chunksFrom(chunks: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Buffer> {
  let skipped = offset;
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    const rest = chunk.subarray(Math.min(skipped, chunk.length));
    skipped -= chunk.length - rest.length;
    waiting.push(rest);
    bytes += rest.length;
    if (bytes < CHUNK_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}
