import { constants, existsSync } from "node:fs";
import { access, chmod, copyFile, mkdir, readFile } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { LabError } from "./lab-error.js";
import { run } from "./run.js";

/** A build folder's `image.json`: what its image takes from this machine, so that nothing has to be pulled. */
export interface ImageRecipe {
  /** Found in PATH, copied to /usr/bin of the image together with the shared libraries they load. */
  readonly programs: readonly string[];
  /** Empty folders: a scratch image has not even /tmp, and volumes take their owner from a folder. */
  readonly folders: readonly string[];
}

/** The build folder's recipe, or undefined when it has none: then the Dockerfile says everything. */
export async function readRecipe(buildDir: string): Promise<ImageRecipe | undefined> {
  const file = join(buildDir, "image.json");
  if (!existsSync(file)) return undefined;
  try {
    const {
      programs = [],
      folders = [],
      ...others
    } = JSON.parse(await readFile(file, "utf8")) as Partial<ImageRecipe>;
    const strange = Object.keys(others);
    if (strange.length > 0) throw new Error(`unknown: ${strange.join(", ")}; known: programs, folders`);
    return { programs: strings("programs", programs), folders: strings("folders", folders) };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new LabError("LAB_BAD_IMAGE", `${file}: ${why}`, { cause });
  }
}

/** Fills `rootfs` with what the recipe names. */
export async function collectRootfs(recipe: ImageRecipe, rootfs: string): Promise<void> {
  for (const folder of recipe.folders) await mkdir(inside(rootfs, folder), { recursive: true });
  for (const name of recipe.programs) {
    const program = await findProgram(name);
    await copyInto(rootfs, program, join("/usr/bin", basename(name)));
    for (const library of await sharedLibrariesOf(program)) await copyInto(rootfs, library, library);
  }
}

async function findProgram(name: string): Promise<string> {
  for (const folder of [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"]) {
    const file = join(folder, name);
    const isProgram = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isProgram) return file;
  }
  throw new LabError("LAB_BAD_IMAGE", `this machine has no program ${name} to put into the image`);
}

/** Absolute paths, the dynamic loader among them; none for a static program (ldd then fails). */
async function sharedLibrariesOf(program: string): Promise<string[]> {
  const { code, stdout } = await run(["ldd", program]);
  if (code !== 0) return [];
  const missing = /^\s*(\S+) => not found/m.exec(stdout)?.[1];
  if (missing) throw new LabError("LAB_BAD_IMAGE", `${program} does not run here: ${missing} is missing`);
  return [...stdout.matchAll(/(?:=>|^)\s*(\/\S+) \(0x/gm)].map((match) => match[1] ?? "");
}

/** Copies what a link points to: the image gets files, under the names by which they are looked for. */
async function copyInto(rootfs: string, from: string, to: string): Promise<void> {
  const target = inside(rootfs, to);
  await mkdir(dirname(target), { recursive: true });
  await copyFile(from, target, constants.COPYFILE_FICLONE);
  await chmod(target, 0o755);
}

function inside(rootfs: string, path: string): string {
  const target = resolve(rootfs, `.${sep}${path}`);
  if (target === rootfs || target.startsWith(rootfs + sep)) return target;
  throw new LabError("LAB_BAD_IMAGE", `${path} is outside of the image`);
}

function strings(key: string, value: unknown): string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw new Error(`${key} must be a list of strings`);
}
