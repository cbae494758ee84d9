import {
  BerthError,
  type CreateVolumeRequest,
  type CreateVolumeResponse,
  isBerthError,
  type ListVolumesRequest,
  type ListVolumesResponse,
  type Node,
  NodeState,
  type PruneVolumesRequest,
  type PruneVolumesResponse,
  type RemoveVolumesRequest,
  type RemoveVolumesResponse,
  type VolumeReply,
  type VolumeRequest,
} from "@berth/proto";
import { nodeName } from "../core/model/node-name.js";
import { agentProtocol } from "../core/model/required-protocol.js";
import type { ApiContext } from "./api-context.js";
import { findNode } from "./lookup.js";

/**
 * Timeout for listing the volumes of a host. Docker needs less than a second, even under load, but volume plugins can
 * take longer.
 */
const TIMEOUT_MS = 8_000;
/** Timeout for removing a volume. Docker deletes the contents before it responds. */
const REMOVE_TIMEOUT_MS = 60_000;
/** Maximum number of volumes in one request. */
const MAX_NAMES = 1_000;
/** First protocol version whose agents support volume requests. */
const VOLUMES_SINCE = 2;

type Action = NonNullable<VolumeRequest["action"]>;

/** Lists the volumes of nodes. A node that does not respond has an error instead. */
export async function listVolumes(
  { node, name }: ListVolumesRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<ListVolumesResponse> {
  const action: Action = { $case: "list", value: { name } };
  const nodes = await askNodes(selectNodes(node, context), action, TIMEOUT_MS, context, signal);
  return {
    nodes: nodes.map(({ node: { id }, hostname, reply, error }) => ({
      nodeId: id,
      hostname,
      volumes: reply?.volumes ?? [],
      error,
    })),
  };
}

/**
 * Creates a volume on a node.
 *
 * @throws BerthError BERTH_INPUT_INVALID, BERTH_NODE_UNREACHABLE, BERTH_ENGINE_FAILED
 */
export async function createVolume(
  { node, volume }: CreateVolumeRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<CreateVolumeResponse> {
  const target = findNode(context.state, node);
  if (volume === undefined || volume.name === "") throw invalidInputError("the volume has no name");
  await recordCall(context, signal);
  const action: Action = { $case: "create", value: volume };
  const reply = await askNode(target, action, TIMEOUT_MS, context, signal);
  if (reply.error !== "") throw engineRefusalError(target, reply.error);
  return { volume: reply.volumes[0] };
}

/** Removes volumes from a node, one after another, until one cannot be removed. */
export async function removeVolumes(
  { node, names, force }: RemoveVolumesRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<RemoveVolumesResponse> {
  const target = findNode(context.state, node);
  if (names.length === 0 || names.length > MAX_NAMES) {
    throw invalidInputError(`invalid number of volume names; use 1 to ${MAX_NAMES}`);
  }
  if (names.includes("")) throw invalidInputError("the name of a volume is empty");
  await recordCall(context, signal);
  const removed: string[] = [];
  for (const name of names) {
    const action: Action = { $case: "remove", value: { name, force } };
    const reply = await askNode(target, action, REMOVE_TIMEOUT_MS, context, signal);
    removed.push(...reply.removed);
    if (reply.error !== "") return { removed, error: `${nodeName(target)}: ${reply.error}` };
  }
  return { removed, error: "" };
}

/** Removes the unused volumes of nodes. A node that does not respond has an error instead. */
export async function pruneVolumes(
  { node, all }: PruneVolumesRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<PruneVolumesResponse> {
  const targets = selectNodes(node, context);
  await recordCall(context, signal);
  const action: Action = { $case: "prune", value: { all } };
  const nodes = await askNodes(targets, action, REMOVE_TIMEOUT_MS, context, signal);
  return {
    nodes: nodes.map(({ hostname, reply, error }) => ({
      hostname,
      removed: reply?.removed ?? [],
      error,
      reclaimedBytes: reply?.reclaimedBytes ?? 0,
    })),
  };
}

/** Returns the node of a reference, or all nodes that are up, by hostname. */
function selectNodes(reference: string, { state }: ApiContext): readonly Node[] {
  if (reference !== "") return [findNode(state, reference)];
  return [...state.nodes.values()]
    .filter((node) => node.state === NodeState.READY)
    .sort((a, b) => nodeName(a).localeCompare(nodeName(b)));
}

/** Writes the audit record of the call before its effect. */
async function recordCall({ writer }: ApiContext, signal: AbortSignal): Promise<void> {
  await writer.submit(() => ({ changes: [], result: undefined }), signal);
}

interface NodeReply {
  readonly node: Node;
  readonly hostname: string;
  /** Reply of the node. Undefined if the node did not respond. */
  readonly reply: VolumeReply | undefined;
  readonly error: string;
}

function askNodes(
  nodes: readonly Node[],
  action: Action,
  timeoutMs: number,
  context: ApiContext,
  signal: AbortSignal,
): Promise<readonly NodeReply[]> {
  return Promise.all(
    nodes.map(async (node): Promise<NodeReply> => {
      const hostname = nodeName(node);
      try {
        const reply = await askNode(node, action, timeoutMs, context, signal);
        return { node, hostname, reply, error: reply.isMissing ? "" : reply.error };
      } catch (error) {
        if (!isBerthError(error)) throw error;
        return { node, hostname, reply: undefined, error: error.message };
      }
    }),
  );
}

function askNode(
  node: Node,
  action: Action,
  timeoutMs: number,
  { volumes }: ApiContext,
  signal: AbortSignal,
): Promise<VolumeReply> {
  if (agentProtocol(node.description) < VOLUMES_SINCE) {
    throw new BerthError({
      code: "BERTH_UNSUPPORTED",
      message: `the agent on ${nodeName(node)} runs an older release; upgrade it`,
    });
  }
  const command = (requestId: string) => ({ $case: "volumeRequest", value: { requestId, action } }) as const;
  return volumes.request({ nodeId: node.id, command, timeoutMs }, signal);
}

function engineRefusalError(node: Node, reason: string): BerthError {
  return new BerthError({ code: "BERTH_ENGINE_FAILED", message: `${nodeName(node)}: ${reason}` });
}

function invalidInputError(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
