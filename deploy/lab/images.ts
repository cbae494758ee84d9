import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
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
