import {
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
import { formatBytes } from "../output/human.js";
import { progressLine } from "../output/progress-line.js";
import type { Cli, Terminal } from "../process/cli.js";
import { findLocalImages, type LocalImage } from "./local-docker.js";
import { type PushProgress, pushImage } from "./push-image.js";

/** The leader asks nodes, which ask registries. */
const LOCATE_TIMEOUT_MS = 20_000;

export interface MissingImages {
  readonly stack: string;
  readonly specs: readonly ServiceSpec[];
  /** For the registries of the images. */
  readonly credentials: readonly RegistryCredentials[];
  /** Finds the images only, for a dry run. */
  readonly isDryRun: boolean;
  /** Where to print the progress. Undefined to print nothing. */
  readonly terminal: Terminal | undefined;
}

/**
 * Pushes the images of specs that the local Docker has and no registry, and returns their IDs. Images that come from a
 * registry are left to the nodes, which pull them.
 */
export async function pushMissingImages(
  cli: Cli,
  client: ControlClient,
  { stack, specs, credentials, isDryRun, terminal }: MissingImages,
): Promise<ImageVersion[]> {
  const names = new Set(specs.flatMap(({ task }) => imageToPush(task?.container) ?? []));
  const local = new Map<string, LocalImage>();
  for (const [name, image] of await findLocalImages(cli, [...names])) {
    if (!comesFromRegistry(name, image)) local.set(name, image);
  }
  if (local.size === 0) return [];
  const versions: ImageVersion[] = [];
  for (const image of await imagesWithoutRegistry(cli, client, {
    images: [...local.keys()],
    credentials,
    stack,
  })) {
    const found = local.get(image);
    if (found === undefined) continue;
    if (!isDryRun) await pushWithProgress(cli, client, { image, local: found, terminal });
    versions.push({ image, imageId: found.id });
  }
  return versions;
}

/** Returns the image of a container if the local Docker may be its source. */
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
  // With containerd's image store, each image has itself as a digest.
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
  try {
    const { locations } = await client.locateImages(
      { ...request, credentials: [...request.credentials] },
      { signal: cli.signal, timeoutMs: LOCATE_TIMEOUT_MS },
    );
    return locations.filter(({ kind }) => kind !== ImageLocation_Kind.REGISTRY).map(({ image }) => image);
  } catch (error) {
    // A server of an earlier release distributes no images.
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

/** Describes how far a push is. */
export function pushText(image: string, { sentBytes, storedOn }: PushProgress): string {
  const sent = sentBytes === 0 ? "" : `${formatBytes(sentBytes)} sent`;
  const stored = storedOn.length === 0 ? "" : `on ${storedOn.join(", ")}`;
  const parts = [sent, stored].filter((part) => part !== "");
  return `Pushing image ${image}${parts.length === 0 ? "" : `: ${parts.join(", ")}`}`;
}
