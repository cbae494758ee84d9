/** Docker's own versions, which older Buildx plugins print instead of BuildKit's, have the year as their major version. */
const FIRST_DOCKER_MAJOR = 17;
/** Docker 23.0 contains BuildKit 0.10. */
const DOCKER_WITH_NAMED_CONTEXTS = 23;
const BUILDKIT_WITH_NAMED_CONTEXTS = 10;
const VERSION_LINE = /^\s*BuildKit(?: version)?:\s+v?(\d+)\.(\d+)/gim;

/**
 * Returns whether all nodes of a builder know additional contexts. Older ones ignore such a context, and look for an image
 * with its name. A builder that does not tell its version is assumed to know them.
 *
 * @param inspection the output of `docker buildx inspect`
 */
export function hasNamedContexts(inspection: string): boolean {
  return [...inspection.matchAll(VERSION_LINE)].every(([, majorText, minorText]) => {
    const major = Number(majorText);
    if (major >= FIRST_DOCKER_MAJOR) return major >= DOCKER_WITH_NAMED_CONTEXTS;
    return major > 0 || Number(minorText) >= BUILDKIT_WITH_NAMED_CONTEXTS;
  });
}
