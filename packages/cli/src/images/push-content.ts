import { setTimeout as sleep } from "node:timers/promises";
import {
  type ImageUpload,
  type ImageUploadStart,
  isBerthError,
  type NeededLayer,
  type PushImageRequest,
} from "@berth/proto";
import type { ControlClient } from "../client/client.js";

/** Maximum number of nodes to try. */
const MAX_ATTEMPTS = 3;
/** Pause before the next node is tried. The leader notices a dead node within a second. */
const RETRY_DELAY_MS = 1_000;

export type UploadMessage = NonNullable<ImageUpload["message"]>;

/** An image, or the archive of a shipped mount. */
export interface PushedContent {
  readonly start: ImageUploadStart;
  /** Nodes that receive the content. Empty to let the leader select them. */
  readonly nodes: readonly string[];
  /** Yields the needed layers and the configuration. `signal` aborts when the push has ended. */
  readonly messages: (needed: readonly NeededLayer[], signal: AbortSignal) => AsyncIterable<UploadMessage>;
}

export interface PushProgress {
  readonly sentBytes: number;
  /** Number of layers to send. 0 when nodes have all of them. */
  readonly neededLayers: number;
  /** Names of the nodes that have the content. */
  readonly storedOn: readonly string[];
}

/**
 * Sends content to the cluster, without the layers that nodes already have. If the node that the leader has selected dies,
 * the leader selects another one.
 *
 * @throws the error of the content's messages; the server's BerthError
 */
export async function pushContent(
  client: Pick<ControlClient, "pushImage">,
  content: PushedContent,
  onProgress: (progress: PushProgress) => void,
  commandSignal: AbortSignal,
): Promise<PushProgress> {
  for (let attempt = 1; ; attempt += 1) {
    let hasStarted = false;
    const report = (progress: PushProgress): void => {
      hasStarted = true;
      onProgress(progress);
    };
    try {
      return await pushOnce(client, content, report, commandSignal);
    } catch (error) {
      const isLost = hasStarted && isBerthError(error, "BERTH_NODE_UNREACHABLE");
      if (!isLost || content.nodes.length > 0 || attempt === MAX_ATTEMPTS) throw error;
      await sleep(RETRY_DELAY_MS, undefined, { signal: commandSignal });
    }
  }
}

async function pushOnce(
  client: Pick<ControlClient, "pushImage">,
  content: PushedContent,
  onProgress: (progress: PushProgress) => void,
  commandSignal: AbortSignal,
): Promise<PushProgress> {
  const ended = new AbortController();
  const signal = AbortSignal.any([commandSignal, ended.signal]);
  let progress: PushProgress = { sentBytes: 0, neededLayers: 0, storedOn: [] };
  const report = (change: Partial<PushProgress>): void => {
    progress = { ...progress, ...change };
    onProgress(progress);
  };
  const onSent = (bytes: number): void => report({ sentBytes: progress.sentBytes + bytes });
  const upload = new Upload(content, { signal, onSent });
  try {
    for await (const { message } of client.pushImage(upload.messages(), { signal })) {
      if (message?.$case === "needed") {
        report({ neededLayers: message.value.layers.length });
        upload.start(message.value.layers);
      }
      if (message?.$case === "stored") {
        upload.finish();
        report({ storedOn: [...progress.storedOn, message.value.nodeHostname] });
      }
    }
    return progress;
  } catch (error) {
    // A failed upload is the cause of the failed call.
    throw upload.error ?? error;
  } finally {
    ended.abort(new Error("the push has ended"));
    upload.finish();
  }
}

interface UploadOptions {
  readonly signal: AbortSignal;
  readonly onSent: (bytes: number) => void;
}

/** The messages of one push. */
class Upload {
  /** The upload's own error. Undefined if it did not fail, or only ended with the call. */
  error: unknown;
  readonly #content: PushedContent;
  readonly #options: UploadOptions;
  readonly #needed: Promise<readonly NeededLayer[] | undefined>;
  #settleNeeded: (needed: readonly NeededLayer[] | undefined) => void = () => {};

  constructor(content: PushedContent, options: UploadOptions) {
    this.#content = content;
    this.#options = options;
    this.#needed = new Promise((resolve) => {
      this.#settleNeeded = resolve;
    });
  }

  /** Starts to send the layers that the node needs. */
  start(needed: readonly NeededLayer[]): void {
    this.#settleNeeded(needed);
  }

  /** Ends the upload when a node has the content. */
  finish(): void {
    this.#settleNeeded(undefined);
  }

  async *messages(): AsyncGenerator<PushImageRequest> {
    const { start, nodes, messages } = this.#content;
    const { signal, onSent } = this.#options;
    yield { upload: { message: { $case: "start", value: start } }, nodes: [...nodes] };
    const needed = await this.#needed;
    if (needed === undefined) return;
    try {
      for await (const message of messages(needed, signal)) {
        yield { upload: { message }, nodes: [] };
        if (message.$case === "data") onSent(message.value.length);
      }
    } catch (error) {
      if (!signal.aborted) this.error = error;
      throw error;
    }
  }
}
