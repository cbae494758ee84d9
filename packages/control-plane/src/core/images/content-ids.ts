import type { ServiceSpec } from "@berth/proto";

/**
 * Returns the digests of everything in a spec that the cluster distributes to nodes without a registry: the ID of its image,
 * and the archives of its shipped mounts.
 */
export function contentIds(spec: ServiceSpec): readonly string[] {
  const container = spec.task?.container;
  if (container === undefined) return [];
  const { imageId, mounts } = container;
  const ids = mounts.flatMap(({ kind }) => (kind?.$case === "shipped" ? [kind.value.digest] : []));
  if (imageId !== "") ids.push(imageId);
  return ids.length > 1 ? [...new Set(ids)] : ids;
}

/** Returns the names under which a spec uses a content: the name of the image, or paths of shipped mounts. */
export function contentNames(spec: ServiceSpec | undefined, id: string): readonly string[] {
  const container = spec?.task?.container;
  if (container === undefined) return [];
  const paths = container.mounts.flatMap(({ kind }) =>
    kind?.$case === "shipped" && kind.value.digest === id ? [kind.value.source] : [],
  );
  return container.imageId === id ? [container.image, ...paths] : paths;
}
