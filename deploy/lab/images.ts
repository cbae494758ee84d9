import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collectRootfs, readRecipe } from "./image-recipe.js";
import { LabError } from "./lab-error.js";
import { run, runOrThrow } from "./run.js";

/** Timeout of a Docker command. Several hosts may load images of 100 MB at once from a slow disk. */
const TRANSFER_TIMEOUT_MS = 300_000;

/** An image that is stored as an archive. */
interface StoredImage {
  readonly tag: string;
  /** Content hash (`sha256:…`), the same on every host. */
  readonly id: string;
  readonly tarFile: string;
}

/** Stores a lab's images as archives. A host that was down loads the images that it lacks when it starts. */
export class LabImages {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Saves a daemon's image as an archive. */
  async store(tag: string, dockerSocket: string, signal?: AbortSignal): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    const id = await imageId(tag, dockerSocket);
    if (id === undefined) throw new Error(`image ${tag} not found`);
    const base = join(this.#directory, encodeURIComponent(tag));
    await docker(dockerSocket, ["save", "--output", `${base}.tar`, tag], signal);
    const image: StoredImage = { tag, id, tarFile: `${base}.tar` };
    await writeFile(`${base}.json.new`, JSON.stringify(image));
    await rename(`${base}.json.new`, `${base}.json`);
  }

  /** Loads every image that the daemon lacks or has with different content. */
  async loadMissing(dockerSocket: string, signal?: AbortSignal): Promise<void> {
    for (const { tag, id, tarFile } of await this.#list()) {
      if ((await imageId(tag, dockerSocket)) === id) continue;
      await docker(dockerSocket, ["load", "--quiet", "--input", tarFile], signal);
    }
  }

  async #list(): Promise<StoredImage[]> {
    const entries = await readdir(this.#directory).catch(() => []);
    const files = entries.filter((name) => name.endsWith(".json"));
    return Promise.all(
      files.map(
        async (name) => JSON.parse(await readFile(join(this.#directory, name), "utf8")) as StoredImage,
      ),
    );
  }
}

/** Runs the Docker CLI against one daemon and returns its output. */
export function docker(socket: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
  // Use the classic builder: BuildKit is a plugin that some Docker CLIs lack.
  const env = { ...process.env, DOCKER_BUILDKIT: "0" };
  return runOrThrow(["docker", "-H", `unix://${socket}`, ...args], {
    env,
    signal,
    timeoutMs: TRANSFER_TIMEOUT_MS,
  });
}

async function imageId(tag: string, socket: string): Promise<string | undefined> {
  const argv = ["docker", "-H", `unix://${socket}`, "image", "inspect", "--format", "{{.Id}}", tag];
  const { code, stdout } = await run(argv);
  return code === 0 ? stdout.trim() : undefined;
}

export interface BuildImageOptions {
  /** Directory with a Dockerfile, or archive from `docker save` or `docker export`. */
  readonly source: string;
  readonly tag: string;
  readonly dockerSocket: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Creates an image on one daemon without a registry. Builds a directory, after copying the programs that its recipe
 * (`image.json`) lists into the build's `rootfs/`. Loads or imports an archive.
 *
 * @throws LabError LAB_BAD_IMAGE if the source is neither, LAB_COMMAND_FAILED with Docker's message.
 */
export async function buildImage(options: BuildImageOptions): Promise<void> {
  const { source, tag, dockerSocket, signal } = options;
  const stats = await stat(source).catch(() => undefined);
  if (!stats) throw new LabError("LAB_BAD_IMAGE", `${source}: no such directory or archive`);
  if (!stats.isDirectory()) {
    await loadArchive(options);
  } else if (existsSync(join(source, "Dockerfile"))) {
    await buildDirectory(options);
  } else {
    throw new LabError("LAB_BAD_IMAGE", `${source} has no Dockerfile`);
  }
  await docker(dockerSocket, ["image", "inspect", "--format", "{{.Id}}", tag], signal);
}

async function buildDirectory({ source, tag, dockerSocket, signal }: BuildImageOptions): Promise<void> {
  const recipe = await readRecipe(source);
  const context = await mkdtemp(join(tmpdir(), "berth-image-"));
  try {
    await cp(source, context, { recursive: true });
    if (recipe) await collectRootfs(recipe, join(context, "rootfs"));
    await docker(dockerSocket, ["build", "--quiet", "--tag", tag, context], signal);
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

/** Loads the archive and tags its image, because an archive from `docker save` may contain a different tag. */
async function loadArchive({ source, tag, dockerSocket, signal }: BuildImageOptions): Promise<void> {
  const loaded = await docker(dockerSocket, ["load", "--quiet", "--input", source], signal).catch(
    () => undefined,
  );
  const name = loaded && /^Loaded image(?: ID)?: (\S+)/m.exec(loaded)?.[1];
  if (name) {
    await docker(dockerSocket, ["tag", name, tag], signal);
  } else {
    await docker(dockerSocket, ["import", source, tag], signal);
  }
}
