import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { sha256Digest, writeBytes, writeImageArchive } from "@berth/proto/images";
import { docker } from "../../../deploy/lab/images.js";
import { runOrThrow } from "../../../deploy/lab/run.js";

/** Docker's architecture names by those of Node.js. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** A layer with one file of random bytes, which no program can compress. */
export interface Layer {
  readonly digest: string;
  /** Uncompressed tar archive. */
  readonly content: Buffer;
}

export interface TestImage {
  readonly id: string;
  readonly layers: readonly Layer[];
}

/** Creates layers with new random content. */
export async function createLayers(count: number, bytes: number): Promise<readonly Layer[]> {
  const directory = await mkdtemp(join(tmpdir(), "berth-bench-"));
  try {
    const layers: Layer[] = [];
    for (let index = 0; index < count; index += 1) {
      const name = `file-${index}`;
      await writeFile(join(directory, name), randomBytes(bytes));
      const archive = join(directory, "layer.tar");
      await runOrThrow(["tar", "-C", directory, "-cf", archive, name]);
      const content = await readFile(archive);
      layers.push({ digest: sha256Digest(content), content });
    }
    return layers;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Loads an image with these layers into a Docker daemon. */
export async function loadTestImage(
  layers: readonly Layer[],
  {
    name,
    dockerSocket,
    signal,
    architecture = ARCHITECTURES[process.arch] ?? process.arch,
  }: {
    readonly name: string;
    readonly dockerSocket: string;
    readonly signal: AbortSignal;
    /** Docker's architecture name. Default: this machine's. */
    readonly architecture?: string;
  },
): Promise<TestImage> {
  const digests = layers.map(({ digest }) => digest);
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: digests },
    }),
  );
  const id = sha256Digest(config);
  const includedLayers = layers.map(({ digest, content }) => ({
    digest,
    sizeBytes: content.length,
    writeTo: (output: Writable) => writeBytes(output, content),
  }));
  const directory = await mkdtemp(join(tmpdir(), "berth-bench-"));
  try {
    const path = join(directory, "image.tar");
    const archive = createWriteStream(path);
    await writeImageArchive(archive, { config, imageId: id, name, layerDigests: digests, includedLayers });
    archive.end();
    await finished(archive);
    await docker(dockerSocket, ["load", "--quiet", "--input", path], signal);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return { id, layers };
}
