import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { isSha256Digest, parseImageConfig, readSavedImage, sha256Digest } from "@berth/proto/images";
import { check, checkEqual, isTypedError, unlessRejected } from "../engine/expect.js";
import { chunksOf, collect } from "../engine/stream-input.js";
import type { Target } from "../engine/target.js";

/** What `docker save` writes: an image with a plain and a compressed layer. */
const SAVED_IMAGE = readFileSync(new URL("saved-image.tar", import.meta.url));
const CONFIG = JSON.stringify({
  os: "linux",
  architecture: "arm",
  variant: "v7",
  rootfs: { type: "layers", diff_ids: [sha256Digest(Buffer.from("one")), sha256Digest(Buffer.from("two"))] },
});
/** Errors of tar-stream about an archive. */
const TAR_ERROR = /tar header|end of data/i;

export const IMAGE_TARGETS: readonly Target[] = [
  {
    name: "image-config",
    seeds: [CONFIG],
    format: "json",
    run: (bytes) => {
      const config = unlessRejected(() => parseImageConfig(bytes));
      if (config === undefined) return;
      check(config.layers.length <= 200, "the number of layers is bounded");
      check(config.layers.every(isSha256Digest), "a layer is a digest, which is safe in a path");
    },
  },
  {
    name: "saved-image",
    seeds: [SAVED_IMAGE],
    tokens: ["manifest.json", "/layer.tar", "blobs/sha256/"],
    run: async (bytes) => {
      const whole = await readImage([bytes]);
      checkEqual(await readImage(chunksOf(bytes)), whole, "chunks do not matter");
    },
  },
];

/** Returns the digests of the layers and of the configuration. Undefined when the archive is rejected. */
async function readImage(chunks: readonly Buffer[]): Promise<readonly string[] | undefined> {
  const digests: string[] = [];
  const archive = Readable.from(chunks, { objectMode: false });
  try {
    const config = await readSavedImage(archive, [], async (content) => {
      digests.push(sha256Digest(Buffer.concat(await collect<Buffer>(content))));
    });
    return [...digests, sha256Digest(config)];
  } catch (error) {
    if (isTypedError(error) || isStreamError(error)) return undefined;
    throw error;
  }
}

/** Returns whether an error is one of tar-stream or zlib. */
function isStreamError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const isZlibError = "code" in error && String(error.code).startsWith("Z_");
  return isZlibError || TAR_ERROR.test(error.message);
}
