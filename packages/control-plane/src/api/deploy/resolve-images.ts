import {
  imageProblem,
  isBerthError,
  type Node,
  type RegistryCredentials,
  type ResolveImage,
  registryOf,
  type ServiceSpec,
  TaskState,
} from "@berth/proto";
import { chooseDigest, type ImageResolution, resolveDigest } from "../../core/images/image-resolution.js";
import { stateOf } from "../../core/model/task-state.js";
import {
  credentialsForImage,
  type LoginSealer,
  type StackImage,
} from "../../core/registries/registry-logins.js";
import { acceptsTasks, eligibilityFilters } from "../../core/scheduler/filters.js";
import { getRequirements } from "../../core/scheduler/requirements.js";
import type { ImageQuestion } from "../../dispatcher/relays/image-resolver.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import type { ServiceTarget } from "./decide-deployment.js";

/** What is known about the tags of the images in a request, and how to use it. */
export interface ImageResolutions {
  readonly mode: ResolveImage;
  /** By image. */
  readonly byImage: ReadonlyMap<string, ImageResolution>;
}

/** The images of a request, and how to resolve them. */
export interface DigestRequest {
  readonly specs: readonly ServiceSpec[];
  readonly mode: ResolveImage;
  /** Credentials in the request, which are not stored yet. They come before the stored ones. */
  readonly credentials: readonly RegistryCredentials[];
}

/**
 * Asks nodes for the digests that specs need, one question for each image. Called before the decision, which is a
 * transaction and must not wait for a registry. Takes up to 5 s; never rejects.
 */
export async function askForDigests(
  { specs, mode, credentials }: DigestRequest,
  { state, imageResolver, loginSealer }: Pick<ApiContext, "state" | "imageResolver" | "loginSealer">,
  signal: AbortSignal,
): Promise<ImageResolutions> {
  const specsByImage = new Map<string, ServiceSpec>();
  for (const spec of specs) {
    const container = spec.task?.container;
    if (container === undefined || imageProblem(container.image) !== undefined) continue;
    const current = state.services.byName(spec.name)?.spec?.task?.container;
    if (chooseDigest(container, current, mode).kind === "fixed") continue;
    if (!specsByImage.has(container.image)) specsByImage.set(container.image, spec);
  }
  if (specsByImage.size === 0) return { mode, byImage: new Map() };
  const nodes = [...state.nodes.values()].filter(
    ({ id, description }) => description?.engineReady === true && imageResolver.canAsk(id),
  );
  const questions = [...specsByImage].flatMap(([image, spec], index): readonly ImageQuestion[] => {
    const nodeId = selectNode(spec, { state, nodes, offset: index });
    if (nodeId === undefined) return [];
    const ofRequest = credentials.filter(({ server }) => server === registryOf(image));
    const stored = storedCredentials({ image, stack: spec.stack }, state, loginSealer);
    return [{ image, nodeId, credentials: [...ofRequest, ...stored] }];
  });
  return { mode, byImage: await imageResolver.resolve(questions, signal) };
}

/** Returns none when this server cannot decrypt them. The registry then decides whether it answers without. */
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
  /** Where to start, so that the questions about several images go to different nodes. */
  readonly offset: number;
}

/**
 * Selects the node to ask about the image of a service: one that runs the service, otherwise one that could run it. Other
 * nodes need not reach the registry, and get neither its login nor a say in what the service runs.
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

/** Sets the digest of each image, and returns the warnings about those that could not be resolved. */
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
    const choice = chooseDigest(task.container, state.services.get(id)?.spec?.task?.container, mode);
    const found = resolveDigest(choice, byImage.get(image), { image, service: spec.name });
    if (found.warning !== undefined) warnings.add(found.warning);
    const container = { ...task.container, imageDigest: found.digest };
    return { id, spec: { ...spec, task: { ...task, container } } };
  });
  return { targets: resolved, warnings: [...warnings] };
}
