import {
  BerthError,
  ImageLocation_Kind,
  imageProblem,
  type LocateImagesRequest,
  type LocateImagesResponse,
  PullPolicy,
  ResolveImage,
  ServiceSpec,
} from "@berth/proto";
import type { ImageResolution } from "../../core/images/image-resolution.js";
import type { ApiContext } from "../api-context.js";
import { resolveDigests } from "../deploy/resolve-images.js";

/** Maximum number of images in one request. */
const MAX_IMAGES = 1_000;

/**
 * Returns where images come from, for a client that has some of them in its local Docker daemon.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
export async function locateImages(
  { images, credentials, stack }: LocateImagesRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<LocateImagesResponse> {
  if (images.length > MAX_IMAGES || images.some((image) => imageProblem(image) !== undefined)) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: "the images cannot be located: a name is invalid",
    });
  }
  // A spec without a service: any node could run it.
  const specs = images.map((image) =>
    ServiceSpec.fromPartial({ stack, task: { container: { image, pullPolicy: PullPolicy.MISSING } } }),
  );
  const request = { specs, credentials, pushedImages: [], mode: ResolveImage.ALWAYS };
  const { byImage } = await resolveDigests(request, context, signal);
  return { locations: images.map((image) => ({ image, ...locationOf(byImage.get(image)) })) };
}

function locationOf(resolution: ImageResolution | undefined): { kind: ImageLocation_Kind; reason: string } {
  switch (resolution?.kind) {
    case "resolved":
      return { kind: ImageLocation_Kind.REGISTRY, reason: "" };
    case "pushed":
    case "on-nodes":
    case "local":
      return { kind: ImageLocation_Kind.CLUSTER, reason: "" };
    case "failed":
      return { kind: ImageLocation_Kind.UNKNOWN, reason: resolution.reason };
    case undefined:
      return { kind: ImageLocation_Kind.UNKNOWN, reason: "no connected node could query its registry" };
  }
}
