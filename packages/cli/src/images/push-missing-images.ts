import {
  BerthError,
  hasDigest,
  ImageLocation_Kind,
  type ImageVersion,
  isBerthError,
  PullPolicy,
  type RegistryCredentials,
  type ServiceSpec,
  taggedImage,
} from "@berth/proto";
import type { ControlClient } from "../client/client.js";
import { RESOLVE_TIMEOUT_MS } from "../options/resolve-image.js";
import { formatBytes } from "../output/human.js";
import { progressLine } from "../output/progress-line.js";
import type { Cli, Terminal } from "../process/cli.js";
import { findLocalImages, type LocalImage } from "./local-docker.js";
import type { PushProgress } from "./push-content.js";
import { pushImage } from "./push-image.js";

export interface PushMissingImagesOptions {
  readonly stack: string;
  readonly specs: readonly ServiceSpec[];
  /** Images that were built: from the name in the spec to the local name. Registries are not queried for them. */
  readonly built?: ReadonlyMap<string, string>;
  /** Whether to leave all other images to the nodes. */
  readonly onlyBuiltImages?: boolean;
  /** Credentials for the registries of the images. */
  readonly credentials: readonly RegistryCredentials[];
  /** Whether to find the images only, for a dry run. */
  readonly isDryRun: boolean;
  /** Terminal for the progress. Undefined to print nothing. */
  readonly terminal: Terminal | undefined;
}

/**
 * Pushes the images of specs that exist only in the local Docker daemon, and returns their IDs. Nodes pull all other
 * images from their registries.
 *
 * @throws BerthError BERTH_NOT_FOUND if an image that was built does not exist, and errors of Docker and of the server
 */
export async function pushMissingImages(
  cli: Cli,
  client: ControlClient,
  {
    stack,
    specs,
    built = new Map(),
    onlyBuiltImages = false,
    credentials,
    isDryRun,
    terminal,
  }: PushMissingImagesOptions,
): Promise<ImageVersion[]> {
  const used = new Set(specs.flatMap(({ task }) => imageToPush(task?.container) ?? []));
  const names = [...used].filter((name) => built.has(name) || !onlyBuiltImages);
  const referenceOf = (name: string): string => built.get(name) ?? name;
  const localImages = await findLocalImages(cli, names.map(referenceOf));
  const local = names.flatMap((name) => {
    const image = localImages.get(referenceOf(name));
    const isBuilt = built.has(name);
    // The registry may have a different image with this name.
    if (image === undefined && isBuilt && !isDryRun) throw missingBuildError(name);
    return image === undefined ? [] : [{ name, image, isBuilt }];
  });
  const unknown = local.filter(({ name, image, isBuilt }) => !isBuilt && !comesFromRegistry(name, image));
  const images = unknown.map(({ name }) => name);
  const missing = new Set(await imagesWithoutRegistry(cli, client, { images, credentials, stack }));
  const versions: ImageVersion[] = [];
  for (const { name, image, isBuilt } of local) {
    if (!isBuilt && !missing.has(name)) continue;
    if (!isDryRun) await pushWithProgress(cli, client, { image: name, local: image, terminal });
    versions.push({ image: name, imageId: image.id });
  }
  return versions;
}

function missingBuildError(name: string): BerthError {
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `image ${name} was built, but is missing from the local Docker daemon; build it again, or use --push`,
  });
}

/** Returns the image of a container if the local Docker daemon may be its source. */
function imageToPush(
  container: { readonly image: string; readonly pullPolicy: PullPolicy } | undefined,
): string | undefined {
  if (container === undefined || container.image === "" || hasDigest(container.image)) return undefined;
  const { image, pullPolicy } = container;
  return pullPolicy === PullPolicy.ALWAYS || pullPolicy === PullPolicy.NEVER ? undefined : image;
}

/** Returns whether Docker has pulled the image or pushed it to its registry. */
function comesFromRegistry(name: string, { id, repoDigests }: LocalImage): boolean {
  const tagged = taggedImage(name);
  const repository = tagged.slice(0, tagged.lastIndexOf(":"));
  // In the containerd image store, each image lists its own ID as a digest.
  return repoDigests.some((digest) => digest.startsWith(`${repository}@`) && !digest.endsWith(`@${id}`));
}

async function imagesWithoutRegistry(
  cli: Cli,
  client: ControlClient,
  request: {
    readonly images: string[];
    readonly credentials: readonly RegistryCredentials[];
    readonly stack: string;
  },
): Promise<readonly string[]> {
  if (request.images.length === 0) return [];
  try {
    const { locations } = await client.locateImages(
      { ...request, credentials: [...request.credentials] },
      { signal: cli.signal, timeoutMs: RESOLVE_TIMEOUT_MS },
    );
    return locations.filter(({ kind }) => kind !== ImageLocation_Kind.REGISTRY).map(({ image }) => image);
  } catch (error) {
    // A server of an earlier release cannot distribute images.
    if (isBerthError(error, "BERTH_UNSUPPORTED")) return [];
    throw error;
  }
}

interface PushWithProgress {
  readonly image: string;
  readonly local: LocalImage;
  readonly terminal: Terminal | undefined;
}

async function pushWithProgress(
  cli: Cli,
  client: ControlClient,
  { image, local, terminal }: PushWithProgress,
): Promise<void> {
  const print = terminal === undefined ? () => {} : progressLine(terminal, cli.now);
  const onProgress = terminal?.isTty ? (at: PushProgress) => print(pushText(image, at), false) : () => {};
  const push = { image: taggedImage(image), local, nodes: [] };
  print(pushText(image, await pushImage(cli, client, push, onProgress)), true);
}

/** Describes the progress of a push. */
export function pushText(image: string, { sentBytes, storedOn }: PushProgress): string {
  const sent = sentBytes === 0 ? "" : `${formatBytes(sentBytes)} sent`;
  const stored = storedOn.length === 0 ? "" : `on ${storedOn.join(", ")}`;
  const parts = [sent, stored].filter((part) => part !== "");
  return `Pushing image ${image}${parts.length === 0 ? "" : `: ${parts.join(", ")}`}`;
}
