import { type ContainerSpec, hasDigest, PullPolicy, ResolveImage, shortDigest } from "@berth/proto";

/** The result of resolving the tag of an image. */
export type ImageResolution =
  /** The registry returned the digest of the tag. */
  | { readonly kind: "resolved"; readonly digest: string }
  /** The image is not in a registry, so there is no digest with which other nodes could pull it. */
  | { readonly kind: "local" }
  /** The client has pushed the image. */
  | { readonly kind: "pushed"; readonly imageId: string }
  /** The image is not in a registry, and nodes have images with the tag. */
  | {
      readonly kind: "on-nodes";
      /** IDs of all images with the tag. */
      readonly imageIds: readonly string[];
      /** The ID that nodes without the image get. Undefined if each node uses its own image. */
      readonly sharedImageId: string | undefined;
    }
  /** The registry could not be queried. */
  | { readonly kind: "failed"; readonly reason: string };

/** The content of an image. At most one field is set; none when nodes use the tag. */
export type ImageContent = Pick<ContainerSpec, "imageDigest" | "imageId">;

/** Source of the digest of a container's image. */
export type ContentChoice =
  /** Digest that is known without a query. */
  | { readonly kind: "fixed"; readonly content: ImageContent }
  | {
      readonly kind: "resolve";
      /** The content to keep if the tag cannot be resolved. */
      readonly fallback: ImageContent;
    };

/** The content of a container's image, and the warning about it. */
export interface ResolvedContent {
  readonly content: ImageContent;
  /** Warning for the user. Undefined unless the tag could not be resolved. */
  readonly warning?: string;
}

/** The fields of a container from which its content follows. */
type ImageFields = Pick<ContainerSpec, "image" | "imageDigest" | "imageId" | "pullPolicy">;

/** Result for a tag that was not resolved, so that nodes pull the image by its tag. */
const UNRESOLVED_TAG: ImageContent = { imageDigest: "", imageId: "" };

/**
 * Decides whether the image of a container has to be resolved.
 *
 * Images that are never pulled have no digest: administrators provide them on the hosts.
 *
 * @param current the container in the current spec of the service; undefined for a new service
 */
export function chooseContent(
  { image, pullPolicy }: Pick<ImageFields, "image" | "pullPolicy">,
  current: ImageFields | undefined,
  mode: ResolveImage,
): ContentChoice {
  if (hasDigest(image) || pullPolicy === PullPolicy.NEVER) return { kind: "fixed", content: UNRESOLVED_TAG };
  const isSameImage = current?.image === image;
  const currentResolution = isSameImage
    ? { imageDigest: current.imageDigest, imageId: current.imageId }
    : UNRESOLVED_TAG;
  if (mode === ResolveImage.NEVER || (mode === ResolveImage.CHANGED && isSameImage)) {
    return { kind: "fixed", content: currentResolution };
  }
  return { kind: "resolve", fallback: currentResolution };
}

/**
 * Returns the content for a choice. A tag that cannot be resolved keeps its content. Otherwise, an unavailable registry
 * or an image on some node would make a deployment replace all tasks.
 *
 * @param resolution undefined if no node could be asked
 */
export function resolveContent(
  choice: ContentChoice,
  resolution: ImageResolution | undefined,
  { image, service }: { readonly image: string; readonly service: string },
): ResolvedContent {
  // A pushed image takes precedence, whatever the mode.
  if (resolution?.kind === "pushed") return { content: { imageDigest: "", imageId: resolution.imageId } };
  if (choice.kind === "fixed") return { content: choice.content };
  if (resolution?.kind === "resolved") return { content: { imageDigest: resolution.digest, imageId: "" } };
  const { fallback } = choice;
  const keptReference = fallback.imageDigest || fallback.imageId;
  if (resolution?.kind === "local") return { content: fallback };
  if (resolution?.kind === "on-nodes") {
    const { imageIds, sharedImageId = "" } = resolution;
    if (keptReference === "") return { content: { imageDigest: "", imageId: sharedImageId } };
    if (imageIds.every((imageId) => imageId === keptReference)) return { content: fallback };
    const warning = `${service} keeps ${shortDigest(keptReference)} of image ${image}, but nodes have a different image with this tag; use a new tag, or deploy from a machine whose Docker daemon has the image`;
    return { content: fallback, warning };
  }
  const reason = resolution?.reason ?? "no node that could run it is connected";
  const effect =
    keptReference === ""
      ? "each node may run a different version"
      : `${service} keeps ${shortDigest(keptReference)}`;
  const warning = `image ${image} could not be resolved to a digest: ${reason}; ${effect}`;
  return { content: fallback, warning };
}

/** The images with one name on the connected nodes. */
export interface NodeImageIds {
  /** IDs of the images, one for each node that has one. */
  readonly imageIds: readonly string[];
  /** Number of nodes that responded. */
  readonly nodes: number;
}

/**
 * Returns the ID of an image that is not in a registry, if some nodes lack it. When all nodes have an image with the
 * name, an administrator provides it, and each node uses its own image.
 */
export function chooseNodeImage({ imageIds, nodes }: NodeImageIds): string | undefined {
  const [imageId, ...others] = new Set(imageIds);
  if (imageId === undefined || others.length > 0 || imageIds.length >= nodes) return undefined;
  return imageId;
}
