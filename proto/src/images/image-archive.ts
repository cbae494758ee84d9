import type { Writable } from "node:stream";
import { pack } from "tar-stream";

/** Block size of a tar archive, whose files fill whole blocks. */
const BLOCK_BYTES = 512;
/** Size of the end of an archive: two blocks of zeros. */
const END_BYTES = 2 * BLOCK_BYTES;

/** A layer to include. Its content is read only when its turn in the archive comes. */
export interface ArchivedLayer {
  readonly digest: string;
  readonly sizeBytes: number;
  /** Writes exactly `sizeBytes` bytes. Resolves once its buffers can be reused. */
  readonly writeTo: (output: Writable) => Promise<void>;
}

export interface ImageArchive {
  /** Docker's description of the image, in JSON. */
  readonly config: Uint8Array;
  /** "sha256:…" */
  readonly imageId: string;
  /** The name to give the image. */
  readonly name: string;
  /** Digests of all layers, in order. */
  readonly layerDigests: readonly string[];
  /** The layers that Docker does not have. */
  readonly includedLayers: readonly ArchivedLayer[];
}

/**
 * Writes an archive that `docker load` reads. Does not end the output. Docker looks up each layer by its chain ID, the
 * digest of all layers up to it, and opens the file of a layer only if it does not have that layer. The archive may
 * therefore omit the other layers.
 *
 * The layers are not passed through tar-stream, which would keep their buffers in its queue: a source can use the same
 * buffers for a whole layer.
 */
export async function writeImageArchive(
  output: Writable,
  { config, imageId, name, layerDigests, includedLayers }: ImageArchive,
): Promise<void> {
  const configName = `${hexOf(imageId)}.json`;
  await writeFile(output, configName, Buffer.from(config));
  for (const { digest, sizeBytes, writeTo } of includedLayers) {
    await writeBytes(output, await tarHeader(layerName(digest), sizeBytes));
    await writeTo(output);
    await writeBytes(output, tarPadding(sizeBytes));
  }
  const manifest = [{ Config: configName, RepoTags: [name], Layers: layerDigests.map(layerName) }];
  await writeFile(output, "manifest.json", Buffer.from(JSON.stringify(manifest)));
  await writeBytes(output, Buffer.alloc(END_BYTES));
}

async function writeFile(output: Writable, name: string, content: Buffer): Promise<void> {
  const header = await tarHeader(name, content.length);
  await writeBytes(output, Buffer.concat([header, content, tarPadding(content.length)]));
}

/**
 * Returns the header of a file in an archive. It is one block, because the names in image archives are short: a longer
 * name than 100 bytes would need more blocks.
 */
async function tarHeader(name: string, sizeBytes: number): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name, size: sizeBytes });
  for await (const block of archive) return block;
  throw new Error(`tar-stream returned no header for ${name}`);
}

/** Returns the zeros that fill the last block of a file of this size. */
function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** Writes bytes to a file or a socket. Resolves once their buffer can be reused. */
export function writeBytes(output: Writable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function layerName(digest: string): string {
  return `${hexOf(digest)}/layer.tar`;
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}
