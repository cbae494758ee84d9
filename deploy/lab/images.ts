import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collectRootfs, readRecipe } from "./image-recipe.js";
import { LabError } from "./lab-error.js";
import { run, runOrThrow } from "./run.js";

/** Images of a hundred megabytes, several hosts at once on a slow disk. */
const TRANSFER_TIMEOUT_MS = 300_000;

interface StoredImage {
  readonly tag: string;
  /** `sha256:…`: the same on every host. */
  readonly id: string;
  readonly tarFile: string;
}

/** The images of a lab: kept as archives beside it, so that a host that was down gets them when it starts. */
export class LabImages {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Keeps an image that a daemon has. */
  async store(tag: string, dockerSocket: string, signal?: AbortSignal): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const id = await imageId(tag, dockerSocket);
    if (id === undefined) throw new Error(`no image ${tag}`);
    const base = join(this.#folder, encodeURIComponent(tag));
    await docker(dockerSocket, ["save", "--output", `${base}.tar`, tag], signal);
    const image: StoredImage = { tag, id, tarFile: `${base}.tar` };
    await writeFile(`${base}.json.new`, JSON.stringify(image));
    await rename(`${base}.json.new`, `${base}.json`);
  }

  /** Loads every image of the lab that the daemon lacks, or has in another version. */
  async loadMissing(dockerSocket: string, signal?: AbortSignal): Promise<void> {
    for (const { tag, id, tarFile } of await this.#list()) {
      if ((await imageId(tag, dockerSocket)) === id) continue;
      await docker(dockerSocket, ["load", "--quiet", "--input", tarFile], signal);
    }
  }

  async #list(): Promise<StoredImage[]> {
    const entries = await readdir(this.#folder).catch(() => []);
    const files = entries.filter((name) => name.endsWith(".json"));
    return Promise.all(
      files.map(async (name) => JSON.parse(await readFile(join(this.#folder, name), "utf8")) as StoredImage),
    );
  }
}

/** Runs the Docker CLI on one daemon and returns what it prints. */
export function docker(socket: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
  // The classic builder: BuildKit is a plugin that not every Docker CLI has.
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
  /** A folder with a Dockerfile, or an archive made by `docker save` or `docker export`. */
  readonly source: string;
  readonly tag: string;
  readonly dockerSocket: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes an image on one daemon without a network: a folder is built, and its recipe (`image.json`) first collects
 * programs of this machine into the build's `rootfs/`; an archive is loaded or imported.
 *
 * @throws LabError LAB_BAD_IMAGE when the source is neither, LAB_COMMAND_FAILED with Docker's own words.
 */
export async function buildImage(options: BuildImageOptions): Promise<void> {
  const { source, tag, dockerSocket, signal } = options;
  const stats = await stat(source).catch(() => undefined);
  if (!stats) throw new LabError("LAB_BAD_IMAGE", `${source}: no such folder or archive`);
  if (!stats.isDirectory()) await takeArchive(options);
  else if (existsSync(join(source, "Dockerfile"))) await buildFolder(options);
  else throw new LabError("LAB_BAD_IMAGE", `${source} has no Dockerfile`);
  await docker(dockerSocket, ["image", "inspect", "--format", "{{.Id}}", tag], signal);
}

async function buildFolder({ source, tag, dockerSocket, signal }: BuildImageOptions): Promise<void> {
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

/** An archive of `docker save` names its images; that name may differ from the one wanted here. */
async function takeArchive({ source, tag, dockerSocket, signal }: BuildImageOptions): Promise<void> {
  const loaded = await docker(dockerSocket, ["load", "--quiet", "--input", source], signal).catch(
    () => undefined,
  );
  const name = loaded && /^Loaded image(?: ID)?: (\S+)/m.exec(loaded)?.[1];
  if (name) await docker(dockerSocket, ["tag", name, tag], signal);
  else await docker(dockerSocket, ["import", source, tag], signal);
}
