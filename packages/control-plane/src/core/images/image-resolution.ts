import { type ContainerSpec, hasDigest, PullPolicy, ResolveImage, shortDigest } from "@berth/proto";

/** What a node found out about the tag of an image. */
export type ImageResolution =
  /** The digest that the tag has in the registry. */
  | { readonly kind: "resolved"; readonly digest: string }
  /** The image comes from no registry, so there is no digest with which other nodes could pull it. */
  | { readonly kind: "local" }
  /** The registry could not be asked. */
  | { readonly kind: "failed"; readonly reason: string };

/** How the digest of a container's image is determined. */
export type DigestChoice =
  /** Without a question. An empty digest means that nodes use the tag. */
  | { readonly kind: "fixed"; readonly digest: string }
  | {
      readonly kind: "resolve";
      /** The digest to keep if the tag cannot be resolved. Empty when there is none. */
      readonly fallback: string;
    };

/** The digest of a container's image, and the warning about it. */
export interface ResolvedDigest {
  readonly digest: string;
  /** Shown to the user. Undefined unless the tag could not be resolved. */
  readonly warning?: string;
}

/** The fields of a container from which its digest follows. */
type ImageFields = Pick<ContainerSpec, "image" | "imageDigest" | "pullPolicy">;

/**
 * Decides whether the image of a container has to be resolved.
 *
 * Images that are never pulled have no digest: their content is what the administrators of the hosts have put there.
 *
 * @param current the container in the current spec of the service; undefined for a new service
 */
export function chooseDigest(
  { image, pullPolicy }: Pick<ImageFields, "image" | "pullPolicy">,
  current: ImageFields | undefined,
  mode: ResolveImage,
): DigestChoice {
  if (hasDigest(image) || pullPolicy === PullPolicy.NEVER) return { kind: "fixed", digest: "" };
  const isSameImage = current?.image === image;
  const known = isSameImage ? current.imageDigest : "";
  if (mode === ResolveImage.NEVER || (mode === ResolveImage.CHANGED && isSameImage)) {
    return { kind: "fixed", digest: known };
  }
  return { kind: "resolve", fallback: known };
}

/**
 * Returns the digest for a choice. A tag that cannot be resolved keeps the digest that it had: otherwise, a registry that
 * is down would let every deployment replace all tasks.
 *
 * @param resolution undefined when no node could be asked
 */
export function resolveDigest(
  choice: DigestChoice,
  resolution: ImageResolution | undefined,
  { image, service }: { readonly image: string; readonly service: string },
): ResolvedDigest {
  if (choice.kind === "fixed") return { digest: choice.digest };
  if (resolution?.kind === "resolved") return { digest: resolution.digest };
  if (resolution?.kind === "local") return { digest: "" };
  const reason = resolution?.reason ?? "no node that could run it is connected";
  const effect =
    choice.fallback === ""
      ? "each node may run a different version"
      : `${service} keeps ${shortDigest(choice.fallback)}`;
  const warning = `image ${image} could not be resolved to a digest: ${reason}; ${effect}`;
  return { digest: choice.fallback, warning };
}
