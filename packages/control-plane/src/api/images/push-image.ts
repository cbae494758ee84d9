import {
  BerthError,
  hasDigest,
  type ImageUploadStart,
  imageProblem,
  isBerthError,
  NodeState,
  type PushImageRequest,
  type PushImageResponse,
} from "@berth/proto";
import { isSha256Digest } from "@berth/proto/images";
import { type CallContext, callerKey } from "@berth/proto/rpc";
import { nodeNameById } from "../../core/model/node-name.js";
import { acceptsTasks } from "../../core/scheduler/filters.js";
import { architectureName } from "../../core/scheduler/node-attribute.js";
import { type Inventories, imageSources } from "../../dispatcher/relays/image-inventories.js";
import type { RemoteUpload } from "../../dispatcher/relays/image-upload-relay.js";
import { linkSignals } from "../../runtime/abort.js";
import { BoundedQueue } from "../../runtime/bounded-queue.js";
import { firstItem } from "../../runtime/first-item.js";
import type { ApiContext } from "../api-context.js";
import { findNode } from "../lookup.js";

/** Timeout for the caller's first message. */
const START_TIMEOUT_MS = 10_000;

/** Maximum number of layers of an image. */
const MAX_LAYERS = 200;

/** Maximum number of nodes that one push can name. */
const MAX_NODES = 1_000;
/**
 * Number of nodes that receive the archive of a shipped mount before its service runs. No registry has the archive, so
 * the last copy would be lost with its node. Nodes that run the service fetch further copies.
 */
const SHIPPED_COPIES = 3;
/**
 * Maximum number of nodes that fetch the image at the same time. Each node reads four layers at once, and a node serves
 * 32 readers.
 */
const MAX_CONCURRENT_FETCHES = 8;
/** Maximum number of queued progress messages for the client. */
const QUEUE_CAPACITY = 16;

/**
 * Stores an image, or the archive of a shipped mount, on nodes. One node gets it from the client, except for the layers
 * that other nodes have; all others get it from there. The leader passes the bytes on, and stores nothing.
 *
 * @throws BerthError BERTH_INPUT_INVALID, BERTH_NOT_FOUND, BERTH_AMBIGUOUS, BERTH_NODE_UNREACHABLE, BERTH_IMAGE_INVALID
 */
export async function* pushImage(
  requests: AsyncIterable<PushImageRequest>,
  context: ApiContext,
  call: Pick<CallContext, "signal" | "caller" | "client">,
): AsyncGenerator<PushImageResponse> {
  const link = linkSignals(call.signal, context.signal);
  const { signal } = link;
  try {
    const incoming = requests[Symbol.asyncIterator]();
    const { start, nodes } = await readStart(incoming, context, signal);
    const query = { imageIds: [start.imageId], layers: [...start.layers] };
    const inventories = await context.imageInventories.query(query, signal);
    const targets = selectTargets(nodes, inventories, start, context);
    const holders = new Set(holdersOf(start.imageId, inventories));
    const [first, ...others] = targets;
    if (first === undefined || holders.size > 0) {
      yield* fetchOnNodes(targets, { start, holders }, context, signal);
    } else {
      const target = { nodeId: first, start, inventories, client: callerKey(call.caller, call.client) };
      yield* uploadToAll(incoming, { target, others, holders }, context, signal);
    }
    signal.throwIfAborted();
  } finally {
    link.unlink();
    link.abort("the push has ended");
  }
}

interface UploadTarget {
  readonly nodeId: string;
  readonly start: ImageUploadStart;
  readonly inventories: Inventories;
  readonly client: string;
}

interface UploadPlan {
  readonly target: UploadTarget;
  /** Nodes that get the image from the target. */
  readonly others: readonly string[];
  readonly holders: Set<string>;
}

/** Passes an image on to one node. The other nodes copy each layer as soon as that node has it. */
async function* uploadToAll(
  incoming: AsyncIterator<PushImageRequest>,
  { target, others, holders }: UploadPlan,
  context: ApiContext,
  signal: AbortSignal,
): AsyncGenerator<PushImageResponse> {
  const { nodeId, start } = target;
  const output = new BoundedQueue<PushImageResponse>(QUEUE_CAPACITY);
  let fetching: Promise<void> = Promise.resolve();
  let endUpload = (): void => {};
  const ended = new Promise<void>((resolve) => {
    endUpload = resolve;
  });
  const fetch = async (): Promise<void> => {
    const image = { start, holders, upload: { nodeId, ended } };
    for await (const response of fetchOnNodes(others, image, context, signal)) await output.put(response);
  };
  const run = async (): Promise<void> => {
    for await (const response of upload(incoming, target, context, signal)) {
      await output.put(response);
      // The node expects the upload now.
      if (response.message?.$case !== "needed") continue;
      fetching = fetch();
      // Awaited once the upload is complete; this prevents an unhandled rejection until then.
      fetching.catch(() => {});
    }
    holders.add(nodeId);
    endUpload();
    await output.put(stored(nodeId, context));
    await fetching;
  };
  run()
    .finally(endUpload)
    .then(
      () => output.end(),
      (error: unknown) => output.end(error instanceof Error ? error : new Error(String(error))),
    );
  for (let next = await output.take(); next !== undefined; next = await output.take()) yield next;
}

/** Passes the client's messages on to one node, and yields what that node needs. */
async function* upload(
  incoming: AsyncIterator<PushImageRequest>,
  { nodeId, start, inventories, client }: UploadTarget,
  context: ApiContext,
  signal: AbortSignal,
): AsyncGenerator<PushImageResponse> {
  const layersOf = new Map(inventories.nodes.map((node) => [node.nodeId, node.layers]));
  const others = [...layersOf].filter(([other, layers]) => other !== nodeId && layers.length > 0);
  const sources = imageSources(
    others.map(([other]) => other),
    context.state.nodes,
    (other) => layersOf.get(other) ?? [],
  );
  const remote = context.imageUploads.open({ nodeId, client, start, sources }, signal);
  void forwardUpload(incoming, remote);
  try {
    for (let next = await remote.output.take(); next !== undefined; next = await remote.output.take()) {
      if (next.message?.$case === "needed" || next.message?.$case === "fetchedBytes") {
        yield { message: next.message };
      }
    }
  } catch (error) {
    throw notStoredError({ nodeId, image: start.image }, error, context);
  }
}

interface PushedImage {
  readonly start: ImageUploadStart;
  /** Nodes that have the image. */
  readonly holders: Set<string>;
  /** The node that is receiving the image from the client. `ended` resolves when it has the image, or the upload failed. */
  readonly upload?: { readonly nodeId: string; readonly ended: Promise<void> };
}

/**
 * Lets nodes fetch the image from those that have it, several at a time. Each node that has fetched it is a source for the
 * next ones. A holder gives the image the name of this push. The failure of a node does not affect the others.
 */
async function* fetchOnNodes(
  nodeIds: readonly string[],
  { start: { image, imageId, layers, isShipped }, holders, upload }: PushedImage,
  context: ApiContext,
  signal: AbortSignal,
): AsyncGenerator<PushImageResponse> {
  const waiting = [...nodeIds];
  const running = new Map<string, Promise<{ readonly nodeId: string; readonly error: string }>>();
  const failures: BerthError[] = [];
  const { nodes } = context.state;
  const fetch = async (nodeId: string): Promise<{ readonly nodeId: string; readonly error: string }> => {
    if (holders.size === 0 && upload !== undefined) {
      const sources = imageSources([upload.nodeId], nodes);
      const request = { image, imageId, isShipped, sources, pushedLayers: [...layers] };
      // The only layer of a shipped mount is complete when the upload has ended.
      const isCopied = !isShipped && (await context.imageInventories.fetch(nodeId, request, signal)) === "";
      if (isCopied) return { nodeId, error: "" };
      // The node may have been too early. What it has got so far stays.
      await upload.ended;
    }
    const others = [...holders].filter((holder) => holder !== nodeId);
    const request = { image, imageId, isShipped, sources: imageSources(others, nodes), pushedLayers: [] };
    return { nodeId, error: await context.imageInventories.fetch(nodeId, request, signal) };
  };
  while (waiting.length + running.size > 0) {
    for (const nodeId of waiting.splice(0, MAX_CONCURRENT_FETCHES - running.size)) {
      running.set(nodeId, fetch(nodeId));
    }
    const { nodeId, error } = await Promise.race(running.values());
    running.delete(nodeId);
    if (error === "") {
      holders.add(nodeId);
      yield stored(nodeId, context);
    } else {
      failures.push(notStoredError({ nodeId, image }, error, context));
    }
  }
  // Further copies of a shipped mount are a precaution.
  if (isShipped && holders.size > 0) return;
  const [failure] = failures;
  if (failures.length === 1) throw failure;
  if (failure !== undefined) {
    const message = failures.map((failure) => failure.message).join("; ");
    throw new BerthError({ code: failure.code, message });
  }
}

async function forwardUpload(
  incoming: AsyncIterator<PushImageRequest>,
  { input }: RemoteUpload,
): Promise<void> {
  try {
    for (let next = await incoming.next(); !next.done && !input.isEnded; next = await incoming.next()) {
      const { upload: message } = next.value;
      if (message !== undefined) await input.put(message);
    }
  } catch {
    // The client has left, and its signal ends the upload.
  }
}

/** Reads the first message, and checks it in a decision, so that the audit log has the call before it has an effect. */
async function readStart(
  incoming: AsyncIterator<PushImageRequest>,
  { runtime: { clock }, writer }: ApiContext,
  signal: AbortSignal,
): Promise<{ readonly start: ImageUploadStart; readonly nodes: readonly string[] }> {
  const timeout = { clock, timeoutMs: START_TIMEOUT_MS, timeoutError: missingStartError };
  const first = await firstItem(incoming, timeout, signal);
  const message = first?.upload?.message;
  if (first === undefined || message?.$case !== "start") throw missingStartError();
  const { value: start } = message;
  requireValid(start, first.nodes);
  const nodes = await writer.submit(
    (state) => ({ changes: [], result: first.nodes.map((reference) => findNode(state, reference).id) }),
    signal,
  );
  return { start, nodes };
}

/** @throws BerthError BERTH_INPUT_INVALID */
function requireValid(start: ImageUploadStart, nodes: readonly string[]): void {
  const { image, imageId, layers, isShipped } = start;
  const invalid = (reason: string): BerthError =>
    new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `image ${image.slice(0, 512)} was not pushed: ${reason}`,
    });
  const problem = isShipped ? undefined : imageNameProblem(image);
  if (problem !== undefined) throw invalid(problem);
  if (!isSha256Digest(imageId)) throw invalid("its ID is not a SHA-256 digest");
  if (layers.length > MAX_LAYERS || !layers.every(isSha256Digest)) throw invalid("its layers are invalid");
  if (isShipped && layers.join() !== imageId) throw invalid("its only layer has another digest");
  if (nodes.length > MAX_NODES) throw invalid(`more than ${MAX_NODES} nodes are named`);
}

function imageNameProblem(image: string): string | undefined {
  return imageProblem(image) ?? (hasDigest(image) ? "give its name without a digest" : undefined);
}

/**
 * Returns the nodes that get the image: without a choice of the client, one that can run its platform, and several for a
 * shipped mount. Nodes that have it already come first.
 */
function selectTargets(
  nodes: readonly string[],
  inventories: Inventories,
  start: ImageUploadStart,
  context: ApiContext,
): readonly string[] {
  const answered = new Map(inventories.nodes.map((node) => [node.nodeId, node]));
  const unreachable = nodes.find((nodeId) => !answered.has(nodeId));
  if (unreachable !== undefined) {
    const reason = inventories.failures.get(unreachable) ?? "its agent is not connected";
    throw notStoredError({ nodeId: unreachable, image: start.image }, reason, context);
  }
  if (nodes.length > 0) return [...new Set(nodes)];
  const holders = holdersOf(start.imageId, inventories).filter((nodeId) => isUsable(nodeId, start, context));
  const copies = start.isShipped ? SHIPPED_COPIES : 1;
  if (holders.length >= copies) return holders.slice(0, copies);
  const others = [...answered.values()].filter(
    ({ nodeId }) => !holders.includes(nodeId) && isUsable(nodeId, start, context),
  );
  others.sort((a, b) => b.layers.length - a.layers.length || a.nodeId.localeCompare(b.nodeId));
  const selected = [...holders, ...others.map(({ nodeId }) => nodeId)].slice(0, copies);
  if (selected.length > 0) return selected;
  throw new BerthError({
    code: "BERTH_NODE_UNREACHABLE",
    message: `image ${start.image} was not pushed: no connected node accepts tasks for ${start.platform || "its platform"}`,
  });
}

function isUsable(nodeId: string, { platform }: ImageUploadStart, { state }: ApiContext): boolean {
  const node = state.nodes.get(nodeId);
  const snapshot = state.nodes.nodes.get(nodeId);
  if (node?.state !== NodeState.READY || snapshot === undefined || !acceptsTasks(snapshot)) return false;
  const { os = "", architecture = "" } = node.description ?? {};
  const [wantedOs = "", wantedArchitecture = ""] = platform.split("/");
  return platform === "" || (os === wantedOs && architectureName(architecture) === wantedArchitecture);
}

function holdersOf(imageId: string, { nodes }: Inventories): readonly string[] {
  return nodes.filter(({ images }) => images.some(({ id }) => id === imageId)).map(({ nodeId }) => nodeId);
}

function stored(nodeId: string, { state }: ApiContext): PushImageResponse {
  const nodeHostname = nodeNameById(nodeId, state.nodes);
  return { message: { $case: "stored", value: { nodeHostname } } };
}

function notStoredError(
  { nodeId, image }: { readonly nodeId: string; readonly image: string },
  error: unknown,
  { state }: ApiContext,
): BerthError {
  const reason = error instanceof Error ? error.message : String(error);
  const node = nodeNameById(nodeId, state.nodes);
  return new BerthError({
    // Clients try another node.
    code: isBerthError(error, "BERTH_NODE_UNREACHABLE") ? error.code : "BERTH_IMAGE_INVALID",
    message: `node ${node} did not store ${image}: ${reason}`,
  });
}

function missingStartError(): BerthError {
  return new BerthError({
    code: "BERTH_PROTOCOL",
    message: "the first message of a push must be its start",
  });
}
