import type { Readable, Writable } from "node:stream";
import type { EngineCall } from "./engine.js";

/** An image of the daemon. */
export interface LocalImage {
  /** "sha256:…" */
  readonly id: string;
  /** "name:tag" */
  readonly names: readonly string[];
  /** "name@sha256:…", under which registries have it. */
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  readonly createdMs: number;
  /** Digests of the layers as uncompressed tar archives, in order. */
  readonly layers: readonly string[];
  /** When the image was last tagged, in ms since the epoch. 0 when unknown. */
  readonly taggedMs: number;
}

/**
 * The part of Docker's Engine API that moves images, on the daemon of this host.
 *
 * Failures are EngineErrors. Each method rejects with the signal's reason when the signal is aborted.
 */
export interface ImageEngine {
  /** Lists all images that have a name or that containers use. */
  listImages(options: EngineCall): Promise<readonly LocalImage[]>;
  /** Returns the size of the layers of all images on the disk, each counted once, in bytes. */
  diskUsage(options: EngineCall): Promise<number>;
  /** Finds an image by name or ID. Returns undefined when there is none. */
  inspectImage(image: string, options: EngineCall): Promise<LocalImage | undefined>;
  /** Returns the image as a tar archive. The archive has all layers. */
  saveImage(image: string, options: EngineCall): Promise<Readable>;
  /** Loads the archive that `write` writes. The archive may lack layers that Docker already has. */
  loadImage(write: (output: Writable) => Promise<void>, options: EngineCall): Promise<void>;
  /** Tags an image with another name. */
  tagImage(imageId: string, name: string, options: EngineCall): Promise<void>;
  /** Removes one name of an image, and the image with its last name. Rejects with `conflict` while a container uses it. */
  removeImage(name: string, options: EngineCall): Promise<void>;
}
