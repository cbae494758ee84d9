import {
  type ImageVersion,
  imageProblem,
  isBerthError,
  type Node,
  type RegistryCredentials,
  type ResolveImage,
  registryOf,
  type ServiceSpec,
  TaskState,
  taggedImage,
} from "@berth/proto";
import { isSha256Digest } from "@berth/proto/images";
import {
  chooseContent,
  chooseNodeImage,
  type ImageResolution,
  resolveContent,
} from "../../core/images/image-resolution.js";
import { stateOf } from "../../core/model/task-state.js";
import {
  credentialsForImage,
  type LoginSealer,
  type StackImage,
} from "../../core/registries/registry-logins.js";
import { acceptsTasks, eligibilityFilters } from "../../core/scheduler/filters.js";
import { getRequirements } from "../../core/scheduler/requirements.js";
import type { ImageRequest } from "../../dispatcher/relays/image-resolver.js";
import { sleep } from "../../runtime/clock.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import type { ServiceTarget } from "./decide-deployment.js";
import type { ServiceViolation } from "./violations.js";

/** Validates the images that a client has pushed. */
export function pushedImageViolations(images: readonly ImageVersion[]): readonly ServiceViolation[] {
  return images
    .filter(({ image, imageId }) => imageProblem(image) !== undefined || !isSha256Digest(imageId))
    .map(({ image }) => ({
      service: "",
      path: "pushed_images",
      message: `${JSON.stringify(image)} has no valid ID`,
    }));
}

/** The results of resolving the image tags of a request, and how to apply them. */
export interface ImageResolutions {
  readonly mode: ResolveImage;
  /** Resolved tags by image. */
  readonly byImage: ReadonlyMap<string, ImageResolution>;
}

/** The images of a request, and how to resolve them. */
export interface DigestRequest {
  readonly specs: readonly ServiceSpec[];
  readonly mode: ResolveImage;
  /** Credentials from the request, which are not stored yet. They take precedence over stored ones. */
  readonly credentials: readonly RegistryCredentials[];
  /** Images that the client has pushed. */
  readonly pushedImages: readonly ImageVersion[];
}

type ResolverContext = Pick<
  ApiContext,
  "state" | "runtime" | "imageResolver" | "imageInventories" | "loginSealer"
>;

/** Time to wait for agents after an election. They connect to a new leader within 2 s, unless their host is busy. */
const CONNECT_TIMEOUT_MS = 3_000;

/** Interval between two checks for connected agents. */
const CONNECT_POLL_MS = 50;

/**
 * Asks nodes for the digests that specs need, once per image. Images that are not in a registry are searched for on all
 * nodes. Called before the decision, which is a transaction and must not wait for a registry. Takes up to 10 s, and up
 * to 3 s more after a change of the leader; never rejects.
 */
export async function resolveDigests(
  request: DigestRequest,
  context: ResolverContext,
  signal: AbortSignal,
): Promise<ImageResolutions> {
  const pushed = new Map<string, ImageResolution>(
    request.pushedImages.map(({ image, imageId }) => [image, { kind: "pushed", imageId }]),
  );
  const registryResults = await queryRegistries(request, pushed, context, signal);
  const onNodes = await findOnNodes(registryResults, request, context, signal);
  return { mode: request.mode, byImage: new Map([...registryResults, ...onNodes, ...pushed]) };
}

/** Asks registries, through nodes, for the digests of all images that the client has not pushed. */
async function queryRegistries(
  { specs, mode, credentials }: DigestRequest,
  pushed: ReadonlyMap<string, ImageResolution>,
  context: ResolverContext,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ImageResolution>> {
  const { state, imageResolver, loginSealer } = context;
  const specsByImage = new Map<string, ServiceSpec>();
  for (const spec of specs) {
    const container = spec.task?.container;
    if (container === undefined || imageProblem(container.image) !== undefined) continue;
    const current = state.services.byName(spec.name)?.spec?.task?.container;
    if (pushed.has(container.image) || chooseContent(container, current, mode).kind === "fixed") continue;
    if (!specsByImage.has(container.image)) specsByImage.set(container.image, spec);
  }
  if (specsByImage.size === 0) return new Map();
  await awaitNodes([...specsByImage.values()], context, signal);
  const nodes = nodesWithEngine(state).filter(({ id }) => imageResolver.canResolveImages(id));
  const requests = [...specsByImage].flatMap(([image, spec], index): readonly ImageRequest[] => {
    const nodeId = selectNode(spec, { state, nodes, offset: index });
    if (nodeId === undefined) return [];
    const requested = credentials.filter(({ server }) => server === registryOf(image));
    const stored = storedCredentials({ image, stack: spec.stack }, state, loginSealer);
    return [{ image, nodeId, credentials: [...requested, ...stored] }];
  });
  return imageResolver.resolve(requests, signal);
}

/**
 * Waits until each spec has a node that can be queried, as long as the agent of such a node may still connect: after a
 * change of the leader, no agent is connected.
 */
async function awaitNodes(
  specs: readonly ServiceSpec[],
  { state, imageResolver, runtime: { clock } }: ResolverContext,
  signal: AbortSignal,
): Promise<void> {
  const isAwaited = (spec: ServiceSpec): boolean => {
    const nodes = nodesWithEngine(state);
    const hasNode = (candidates: readonly Node[]): boolean =>
      selectNode(spec, { state, nodes: candidates, offset: 0 }) !== undefined;
    return (
      !hasNode(nodes.filter(({ id }) => imageResolver.canResolveImages(id))) &&
      hasNode(nodes.filter(({ id }) => !imageResolver.isConnected(id)))
    );
  };
  const deadlineMs = clock.nowMs() + CONNECT_TIMEOUT_MS;
  while (specs.some(isAwaited) && clock.nowMs() < deadlineMs && !signal.aborted) {
    await sleep(clock, CONNECT_POLL_MS, signal);
  }
}

function nodesWithEngine({ nodes }: ClusterState): readonly Node[] {
  return [...nodes.values()].filter(({ description }) => description?.engineReady === true);
}

/**
 * Searches all nodes for images that are not in a registry. The cluster distributes an image that only some nodes have.
 * A service keeps its resolved digest while its registry cannot be reached.
 */
async function findOnNodes(
  resolutions: ReadonlyMap<string, ImageResolution>,
  { specs, mode }: DigestRequest,
  { state, imageInventories }: ResolverContext,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ImageResolution>> {
  const unresolved = new Set<string>();
  for (const { name, task } of specs) {
    if (task?.container === undefined) continue;
    const { image } = task.container;
    const resolution = resolutions.get(image);
    const current = state.services.byName(name)?.spec?.task?.container;
    const choice = chooseContent(task.container, current, mode);
    const hasFallback = choice.kind === "resolve" && choice.fallback.imageDigest !== "";
    const isFailed = resolution?.kind === "failed" && !hasFallback;
    if (resolution?.kind === "local" || isFailed) unresolved.add(image);
  }
  if (unresolved.size === 0) return new Map();
  const names = [...unresolved].map(taggedImage);
  const { nodes } = await imageInventories.query({ names }, signal);
  const resolved = [...unresolved].flatMap((image): [string, ImageResolution][] => {
    const name = taggedImage(image);
    const imageIds = nodes.flatMap(
      ({ images }) => images.find((candidate) => candidate.names.includes(name))?.id ?? [],
    );
    const sharedImageId = chooseNodeImage({ imageIds, nodes: nodes.length });
    const isKnown = sharedImageId !== undefined || resolutions.get(image)?.kind === "local";
    return isKnown ? [[image, { kind: "on-nodes", imageIds, sharedImageId }]] : [];
  });
  return new Map(resolved);
}

/** Returns no credentials when this server cannot decrypt them. Public registries respond without credentials. */
function storedCredentials(
  image: StackImage,
  { logins }: ClusterState,
  sealer: LoginSealer | undefined,
): readonly RegistryCredentials[] {
  try {
    return sealer === undefined ? [] : credentialsForImage(image, logins, sealer);
  } catch (error) {
    if (!isBerthError(error)) throw error;
    return [];
  }
}

interface NodeChoice {
  readonly state: ClusterState;
  /** The nodes that can be asked. */
  readonly nodes: readonly Node[];
  /** Index of the first candidate, so that requests for several images go to different nodes. */
  readonly offset: number;
}

/**
 * Selects the node to ask about the image of a service: a node that runs the service, otherwise one that could run it.
 * Other nodes may be unable to reach the registry, and must not receive its login or influence what the service runs.
 */
function selectNode(spec: ServiceSpec, { state, nodes, offset }: NodeChoice): string | undefined {
  const service = state.services.byName(spec.name);
  const nodeIds = new Set(nodes.map(({ id }) => id));
  const tasks = service === undefined ? [] : state.tasks.ofService(service.id).values();
  for (const task of tasks) {
    if (stateOf(task) === TaskState.RUNNING && nodeIds.has(task.nodeId)) return task.nodeId;
  }
  const filters = eligibilityFilters(getRequirements(spec));
  const start = nodes.length === 0 ? 0 : offset % nodes.length;
  const rotated = [...nodes.slice(start), ...nodes.slice(0, start)];
  const eligible = rotated.find(({ id }) => {
    const node = state.nodes.nodes.get(id);
    return node !== undefined && acceptsTasks(node) && filters.every(({ capacity }) => capacity(node, 0) > 0);
  });
  return eligible?.id;
}

/** Sets the digest of each image, and returns warnings about images that could not be resolved. */
export function resolveImages(
  targets: readonly ServiceTarget[],
  { mode, byImage }: ImageResolutions,
  state: ClusterState,
): { readonly targets: readonly ServiceTarget[]; readonly warnings: readonly string[] } {
  const warnings = new Set<string>();
  const resolved = targets.map(({ id, spec }) => {
    const { task } = spec;
    if (task?.container === undefined) return { id, spec };
    const { image } = task.container;
    const choice = chooseContent(task.container, state.services.get(id)?.spec?.task?.container, mode);
    const resolution = resolveContent(choice, byImage.get(image), { image, service: spec.name });
    if (resolution.warning !== undefined) warnings.add(resolution.warning);
    const container = { ...task.container, ...resolution.content };
    return { id, spec: { ...spec, task: { ...task, container } } };
  });
  return { targets: resolved, warnings: [...warnings] };
}
