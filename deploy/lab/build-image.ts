import { existsSync } from "node:fs";
import { cp, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collectRootfs, readRecipe } from "./image-recipe.js";
import { docker } from "./images.js";
import { LabError } from "./lab-error.js";

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
