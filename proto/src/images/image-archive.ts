import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";

/** A file of an archive whose content is read when the archive gets there. */
export interface ArchivedLayer {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly open: () => Readable;
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
 * Returns an archive that `docker load` reads. Docker looks up each layer by the digests of all layers up to it, and
 * opens the file of a layer only if it does not have that layer. The archive may therefore omit the other layers.
 */
export function createImageArchive(image: ImageArchive): Readable {
  const archive = pack();
  writeArchive(archive, image).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return archive;
}

async function writeArchive(
  archive: Pack,
  { config, imageId, name, layers, files }: ImageArchive,
): Promise<void> {
  const configName = `${hexOf(imageId)}.json`;
  archive.entry({ name: configName }, Buffer.from(config));
  for (const { digest, sizeBytes, open } of files) {
    await new Promise<void>((resolve, reject) => {
      const entry = archive.entry({ name: layerName(digest), size: sizeBytes }, (error) =>
        error ? reject(error) : resolve(),
      );
      pipeline(open(), entry).catch(reject);
    });
  }
  const manifest = [{ Config: configName, RepoTags: [name], Layers: layers.map(layerName) }];
  archive.entry({ name: "manifest.json" }, Buffer.from(JSON.stringify(manifest)));
}

function layerName(digest: string): string {
  return `${hexOf(digest)}/layer.tar`;
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}
