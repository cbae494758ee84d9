/**
 * Returns whether an image of this host does not come from a registry: it was built, loaded or tagged here. Docker then
 * has no digest for its repository. With containerd as its image store, Docker has one for every image.
 *
 * @param repoDigests the image's digests, as "name@sha256:…"
 */
export function isLocalImage(image: string, repoDigests: readonly string[]): boolean {
  const repository = repositoryOf(image);
  return !repoDigests.some((digest) => repositoryOf(digest) === repository);
}

/** Returns the repository of an image reference, without the optional prefixes of Docker Hub. */
function repositoryOf(image: string): string {
  const [name = ""] = image.split("@");
  const colon = name.lastIndexOf(":");
  const repository = colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
  return repository.replace(/^(?:index\.)?docker\.io\//, "").replace(/^library\/(?=[^/]+$)/, "");
}
