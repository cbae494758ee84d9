import type { ContainerSpec } from "../../gen/berth/v1/spec.js";

/** Maximum length of a name with its domain, as in Docker. */
const MAX_NAME_LENGTH = 255;
/** Maximum length of a reference: a name, a tag (128 characters) and a digest (SHA-512). */
const MAX_REFERENCE_LENGTH = 512;

// The grammar of github.com/distribution/reference. JavaScript's \w is ASCII, like Go's.
const DOMAIN_COMPONENT = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const DOMAIN_NAME = `${DOMAIN_COMPONENT}(?:\\.${DOMAIN_COMPONENT})*`;
const DOMAIN = `(?:${DOMAIN_NAME}|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const PATH_COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const REPOSITORY_PATTERN = `(?:${DOMAIN}/)?${PATH_COMPONENT}(?:/${PATH_COMPONENT})*`;
const TAG = "[\\w][\\w.-]{0,127}";
const DIGEST = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
const REFERENCE = new RegExp(`^(${REPOSITORY_PATTERN})(?::${TAG})?(?:@${DIGEST})?$`);
/** Pattern of a digest, with the two algorithms that registries use. */
const IMAGE_DIGEST = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;
/** Length of a short digest. Docker shows this many digits of an image ID. */
const SHORT_DIGEST_LENGTH = "sha256:".length + 12;
/**
 * Domain of the names that berth gives to images without a registry. ICANN reserves ".internal" for private use, so no
 * registry has this domain.
 */
const MANAGED_DOMAIN = "berth.internal/";
const MANAGED_NAME = new RegExp(
  `^${MANAGED_DOMAIN.replaceAll(".", "\\.")}${REPOSITORY_PATTERN}:([a-f0-9]{64})$`,
);
/** Pattern of a name that Docker takes for an image ID. */
const IMAGE_ID = /^[a-f0-9]{64}$/;

/** Returns why an image reference is invalid by Docker's grammar, or undefined if it is valid. */
export function imageProblem(image: string): string | undefined {
  if (image === "") return "no image is specified";
  if (image.length > MAX_REFERENCE_LENGTH) return "the image name is too long";
  const [, name] = REFERENCE.exec(image) ?? [];
  if (name === undefined) {
    const hint = REFERENCE.test(image.toLowerCase()) ? ": repository names must be lower case" : "";
    return `${JSON.stringify(image)} is not an image name${hint}`;
  }
  if (name.length > MAX_NAME_LENGTH) return "the image name is too long";
  return IMAGE_ID.test(image) ? `${JSON.stringify(image)} is an image ID; use a name instead` : undefined;
}

/** Returns whether a text is the digest of an image, such as "sha256:…". */
export function isImageDigest(text: string): boolean {
  return IMAGE_DIGEST.test(text);
}

/** Returns whether an image reference has a digest, and therefore identifies its content. */
export function hasDigest(image: string): boolean {
  return image.includes("@");
}

/**
 * Returns the reference with which Docker gets the image of a container: `name:tag@digest` once the tag is resolved.
 * Docker then ignores the tag, which only shows where the digest comes from.
 */
export function imageReference({
  image,
  imageDigest,
  imageId,
}: Pick<ContainerSpec, "image" | "imageDigest" | "imageId">): string {
  if (imageId !== "") return managedImageName(image, imageId);
  if (imageDigest === "" || hasDigest(image)) return image;
  return `${image}${hasTag(image) ? "" : ":latest"}@${imageDigest}`;
}

/**
 * Returns the name that berth gives to an image without a registry. The name has the ID, so it always means the same
 * content, and other programs never use it.
 */
export function managedImageName(image: string, imageId: string): string {
  return `${MANAGED_DOMAIN}${repositoryPath(image)}:${imageId.slice("sha256:".length)}`;
}

/** Returns the ID in a name that berth gave, or undefined for any other name. */
export function managedImageId(name: string): string | undefined {
  const [, hex] = MANAGED_NAME.exec(name) ?? [];
  return hex === undefined ? undefined : `sha256:${hex}`;
}

/** Returns the name of an image with its tag: "latest" where there is none. */
export function taggedImage(image: string): string {
  return hasDigest(image) || hasTag(image) ? image : `${image}:latest`;
}

/** Returns the name of an image without its registry, tag and digest. */
function repositoryPath(image: string): string {
  const [name = ""] = image.split("@");
  const untagged = hasTag(name) ? name.slice(0, name.lastIndexOf(":")) : name;
  const [first = "", ...rest] = untagged.split("/");
  const hasDomain = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  return hasDomain ? rest.join("/") : untagged;
}

/** Returns the algorithm and the first digits of a digest, which tell the contents of a tag apart. */
export function shortDigest(digest: string): string {
  return digest.slice(0, SHORT_DIGEST_LENGTH);
}

/** A colon after the last slash starts a tag, and one before it a port. */
function hasTag(image: string): boolean {
  return image.lastIndexOf(":") > image.lastIndexOf("/");
}
