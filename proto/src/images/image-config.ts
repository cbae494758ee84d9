import { createHash } from "node:crypto";
import { BerthError } from "../errors.js";

/** Maximum number of layers. Docker permits 127. */
const MAX_LAYERS = 200;
/** Maximum size of an image configuration. Docker's configurations have a few KiB. */
export const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
const SHA256 = /^sha256:[a-f0-9]{64}$/;

/** The facts in the configuration of an image. */
export interface ImageConfig {
  /** Digests of the layers as uncompressed tar archives, in order. */
  readonly layers: readonly string[];
  /** Platform, such as "linux/amd64" or "linux/arm/v7". */
  readonly platform: string;
}

/** Returns whether text is an image ID or a layer digest: "sha256:" and 64 hexadecimal digits. */
export function isSha256Digest(text: string): boolean {
  return SHA256.test(text);
}

/** Returns the SHA-256 digest of bytes, as "sha256:…". The digest of a configuration is the image ID. */
export function sha256Digest(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/**
 * Parses the configuration of an image.
 *
 * @throws BerthError BERTH_IMAGE_INVALID
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  if (bytes.length > MAX_CONFIG_BYTES) throw invalidImageError("its configuration is too large");
  const json = parseJson(bytes);
  const { rootfs, os, architecture, variant } = asRecord(json);
  const { diff_ids: layers } = asRecord(rootfs);
  if (!Array.isArray(layers) || layers.length > MAX_LAYERS || !layers.every(isDigest)) {
    throw invalidImageError("its configuration does not list its layers");
  }
  const parts = [os, architecture, variant].filter((part) => typeof part === "string" && part !== "");
  return { layers, platform: parts.join("/") };
}

/** Returns an error about an image that Docker or another node has sent. */
export function invalidImageError(reason: string): BerthError {
  return new BerthError({ code: "BERTH_IMAGE_INVALID", message: `invalid image: ${reason}` });
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new BerthError({
      code: "BERTH_IMAGE_INVALID",
      message: "invalid image: its configuration is not JSON",
      cause,
    });
  }
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function isDigest(value: unknown): value is string {
  return typeof value === "string" && isSha256Digest(value);
}
