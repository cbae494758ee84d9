import {
  BerthError,
  type ImageDownload,
  type ImageSource,
  type ImageUpload,
  type ImageUploadStart,
  type ReceiveImageRequest,
  type ReceiveImageResponse,
} from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import { onAbort } from "../../runtime/abort.js";
import { BoundedQueue } from "../../runtime/bounded-queue.js";
import { firstItem } from "../../runtime/first-item.js";
import {
  AgentRequests,
  connectionLostError,
  type RelayOptions,
  type ResultSink,
  STREAM_TIMEOUT_MS,
} from "./agent-requests.js";

/**
 * Maximum number of queued messages in each direction. At 256 KiB each, they determine the memory that an upload takes
 * on the leader.
 */
const QUEUE_CAPACITY = 8;
/** Maximum number of uploads to one node. Agents have the same limit. */
const MAX_UPLOADS_PER_NODE = 4;

export interface UploadTarget {
  readonly nodeId: string;
  /** The caller that pushes the image, as `callerKey` returns it. */
  readonly client: string;
  readonly start: ImageUploadStart;
  /** Nodes that have some of the layers. */
  readonly sources: readonly ImageSource[];
}

/** An image on its way from a client to a node. */
export class RemoteUpload implements ResultSink {
  readonly input = new BoundedQueue<ImageUpload>(QUEUE_CAPACITY);
  /** Ends after the `stored` message, or with an error. */
  readonly output = new BoundedQueue<ImageDownload>(QUEUE_CAPACITY);
  onEnded = (): void => {};

  get isEnded(): boolean {
    return this.output.isEnded;
  }

  get needsStop(): boolean {
    return !this.isEnded;
  }

  end(error?: BerthError): void {
    this.input.end();
    this.output.end(error);
    this.onEnded();
  }
}

/** Relays images between the calls of clients and the ReceiveImage streams of agents. Stores nothing. */
export class ImageUploadRelay {
  readonly #options: RelayOptions;
  readonly #requests: AgentRequests<RemoteUpload>;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#requests = new AgentRequests({ ...options, capacity: MAX_UPLOADS_PER_NODE });
  }

  /** Fails all uploads to a node that went down. */
  onNodeDown(nodeId: string): void {
    this.#requests.onNodeDown(nodeId);
  }

  /** Starts an upload. When `signal` is aborted, both queues end and the agent stops the upload. */
  open({ nodeId, client, start, sources }: UploadTarget, signal: AbortSignal): RemoteUpload {
    const upload = new RemoteUpload();
    this.#requests.open(
      { nodeId, client },
      upload,
      {
        start: (requestId) => ({
          $case: "startImageUpload",
          value: { requestId, start, sources: [...sources] },
        }),
        stop: (requestId) => ({ $case: "stopImageUpload", value: { requestId } }),
      },
      signal,
    );
    return upload;
  }

  /** Serves the agent's stream: yields the client's upload, and receives the agent's replies. */
  async *serve(
    requests: AsyncIterable<ReceiveImageRequest>,
    { caller, signal }: Pick<CallContext, "caller" | "signal">,
  ): AsyncGenerator<ReceiveImageResponse> {
    const incoming = requests[Symbol.asyncIterator]();
    const { clock } = this.#options.runtime;
    const timeout = { clock, timeoutMs: STREAM_TIMEOUT_MS, timeoutError: missingMessageError };
    const first = await firstItem(incoming, timeout, signal);
    if (first === undefined) return;
    const upload = this.#requests.claim(first.requestId, caller);
    const stopWatching = onAbort(signal, () => upload.end(connectionLostError()));
    void receiveReplies(incoming, upload);
    try {
      for (let next = await upload.input.take(); next !== undefined; next = await upload.input.take()) {
        yield { upload: next };
      }
    } finally {
      stopWatching();
      upload.end(connectionLostError());
    }
  }
}

async function receiveReplies(
  incoming: AsyncIterator<ReceiveImageRequest>,
  upload: RemoteUpload,
): Promise<void> {
  try {
    for (let next = await incoming.next(); !next.done && !upload.isEnded; next = await incoming.next()) {
      const { download, error } = next.value;
      if (error !== "") upload.end(new BerthError({ code: "BERTH_IMAGE_INVALID", message: error }));
      if (download !== undefined) await upload.output.put(download);
      if (download?.message?.$case === "stored") upload.end();
      if (upload.isEnded) break;
    }
  } catch {
    // The stream broke. The caller gets the error below.
  }
  upload.end(connectionLostError());
}

function missingMessageError(): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: `the agent sent no request ID within ${STREAM_TIMEOUT_MS / 1_000} s`,
  });
}
