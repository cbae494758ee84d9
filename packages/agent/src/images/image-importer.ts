import type { Writable } from "node:stream";
import { BerthError } from "@berth/proto";
import { invalidImageError, parseImageConfig, sha256Digest, writeImageArchive } from "@berth/proto/images";
import type { EngineCall } from "../engine/engine.js";
import type { ImageEngine } from "../engine/image-engine.js";
import type { LayerStore } from "./layer-store.js";

/** An image whose missing layers are in the layer store. */
export interface ImportedImage {
  readonly imageId: string;
  readonly config: Uint8Array;
  /** The name that the image gets in Docker. */
  readonly name: string;
}

/**
 * Returns how many layers Docker has from the first one on. Docker stores a layer together with all layers below it, so
 * the same layer on top of others does not count.
 */
export async function countPresentLayers(
  layers: readonly string[],
  engine: Pick<ImageEngine, "listImages">,
  call: EngineCall,
): Promise<number> {
  let count = 0;
  for (const image of await engine.listImages(call)) {
    let common = 0;
    while (common < layers.length && image.layers[common] === layers[common]) common += 1;
    count = Math.max(count, common);
  }
  return count;
}

/**
 * Loads an image into Docker, and checks that Docker has that image under the name.
 *
 * @throws BerthError BERTH_IMAGE_INVALID, BERTH_NOT_FOUND if a layer is missing; EngineError
 */
export async function importImage(
  { imageId, config, name }: ImportedImage,
  { engine, store }: { readonly engine: ImageEngine; readonly store: LayerStore },
  call: EngineCall,
): Promise<void> {
  const { layers } = parseImageConfig(config);
  if (sha256Digest(config) !== imageId) throw invalidImageError(`${imageId} has a different configuration`);
  const present = await countPresentLayers(layers, engine, call);
  const includedLayers = [];
  for (const digest of new Set(layers.slice(present))) {
    const sizeBytes = await store.sizeOf(digest);
    if (sizeBytes === undefined) {
      throw new BerthError({
        code: "BERTH_NOT_FOUND",
        message: `image ${imageId}: layer ${digest} is missing`,
      });
    }
    includedLayers.push({ digest, sizeBytes, writeTo: (output: Writable) => store.writeTo(output, digest) });
  }
  const archive = { imageId, config, name, layerDigests: layers, includedLayers };
  await engine.loadImage((output) => writeImageArchive(output, archive), call);
  const loaded = await engine.inspectImage(name, call);
  if (loaded === undefined || !isSameImage(loaded, { imageId, layers })) {
    throw invalidImageError(`Docker loaded ${loaded?.id ?? "nothing"} as ${name} instead of ${imageId}`);
  }
}

/**
 * Returns whether Docker loaded the requested image. With containerd's image store, the ID is the digest of the manifest,
 * so the layers are compared instead.
 */
function isSameImage(
  loaded: { readonly id: string; readonly layers: readonly string[] },
  { imageId, layers }: { readonly imageId: string; readonly layers: readonly string[] },
): boolean {
  return loaded.id === imageId || loaded.layers.join() === layers.join();
}
