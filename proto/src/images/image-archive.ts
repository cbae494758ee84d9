import type { Writable } from "node:stream";
import { pack } from "tar-stream";
import { invalidImageError } from "./image-config.js";

/** Block size of a tar archive, whose files fill whole blocks. */
const BLOCK_BYTES = 512;
/** Size of the end of an archive: two blocks of zeros. */
const END_BYTES = 2 * BLOCK_BYTES;

/** A file of an archive whose content is read when the archive gets there. */
export interface ArchivedLayer {
  readonly digest: string;
  readonly sizeBytes: number;
  /** Writes the content. Resolves when the output needs none of its buffers any more. */
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
  readonly layers: readonly string[];
  /** The layers that Docker does not have. */
  readonly files: readonly ArchivedLayer[];
}

/**
 * Writes an archive that `docker load` reads. Does not end the output. Docker looks up each layer by the digests of all
 * layers up to it, and opens the file of a layer only if it does not have that layer. The archive may therefore omit the
 * other layers.
 *
 * The layers are not passed through tar-stream, which would keep their buffers in its queue: a source can use the same
 * buffers for a whole layer.
 */
export async function writeImageArchive(
  output: Writable,
  { config, imageId, name, layers, files }: ImageArchive,
): Promise<void> {
  const configName = `${hexOf(imageId)}.json`;
  await writeFile(output, configName, Buffer.from(config));
  for (const { digest, sizeBytes, writeTo } of files) {
    await writeAll(output, await header(layerName(digest), sizeBytes));
    await writeTo(output);
    await writeAll(output, padding(sizeBytes));
  }
  const manifest = [{ Config: configName, RepoTags: [name], Layers: layers.map(layerName) }];
  await writeFile(output, "manifest.json", Buffer.from(JSON.stringify(manifest)));
  await writeAll(output, Buffer.alloc(END_BYTES));
}

async function writeFile(output: Writable, name: string, content: Buffer): Promise<void> {
  await writeAll(
    output,
    Buffer.concat([await header(name, content.length), content, padding(content.length)]),
  );
}

/** Returns what precedes a file in an archive. */
async function header(name: string, size: number): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name, size });
  for await (const block of archive) return block;
  throw invalidImageError(`${name} cannot be archived`);
}

/** Returns what follows a file of this size. */
function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** Writes bytes. Resolves when a file or a socket does not need their buffer any more. */
export function writeAll(output: Writable, bytes: Uint8Array): Promise<void> {
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
