import { constants, existsSync } from "node:fs";
import { access, chmod, copyFile, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, resolve, sep } from "node:path";
import { LabError } from "./lab-error.js";
import { run } from "./run.js";

/**
 * The content of `image.json` in a build directory. Images consist of programs from this machine and need no registry.
 * In paths, `*` matches any part of a name, such as a version; the highest version wins.
 */
export interface ImageRecipe {
  /** Names of programs in PATH, or absolute paths. Copied to the image's /usr/bin with their shared libraries. */
  readonly programs: readonly string[];
  /** Absolute paths of files and directories. Copied to the same paths with the shared libraries that they need. */
  readonly files: readonly string[];
  /**
   * Empty directories to create. A scratch image lacks even /tmp, and a new volume gets the owner of its mount point.
   */
  readonly directories: readonly string[];
}

/** Returns the build directory's recipe, or undefined if the directory has only a Dockerfile. */
export async function readRecipe(buildDir: string): Promise<ImageRecipe | undefined> {
  const file = join(buildDir, "image.json");
  if (!existsSync(file)) return undefined;
  try {
    const {
      programs = [],
      files = [],
      directories = [],
      ...others
    } = JSON.parse(await readFile(file, "utf8")) as Partial<ImageRecipe>;
    const unknown = Object.keys(others);
    if (unknown.length > 0) {
      throw new Error(`unknown key ${unknown.join(", ")}; use programs, files and directories`);
    }
    return {
      programs: requireStrings("programs", programs),
      files: requireStrings("files", files),
      directories: requireStrings("directories", directories),
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LabError("LAB_BAD_IMAGE", `${file}: ${reason}`, { cause });
  }
}

/** Copies the recipe's programs and files with their libraries into `rootfs`, and creates its directories there. */
export async function collectRootfs(recipe: ImageRecipe, rootfs: string): Promise<void> {
  for (const directory of recipe.directories) {
    await mkdir(resolveInside(rootfs, directory), { recursive: true });
  }
  for (const name of recipe.programs) {
    const program = isAbsolute(name) ? await findNewest(name) : await findProgram(name);
    await copyIntoRootfs(rootfs, program, join("/usr/bin", basename(name)));
    await copyLibraries(rootfs, program);
  }
  for (const pattern of recipe.files) await copyTree(rootfs, await findNewest(pattern));
}

async function findProgram(name: string): Promise<string> {
  for (const directory of [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"]) {
    const file = join(directory, name);
    const isProgram = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isProgram) return file;
  }
  throw new LabError(
    "LAB_BAD_IMAGE",
    `program ${name} not found on this machine; install it or remove it from image.json`,
  );
}

/** Returns the path that matches a pattern. If several match, returns the one with the highest version number. */
async function findNewest(pattern: string): Promise<string> {
  let paths = ["/"];
  for (const part of pattern.split("/").filter((text) => text !== "")) {
    const matches = await Promise.all(paths.map((directory) => matchesIn(directory, part)));
    paths = matches.flat();
  }
  const newest = paths.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  if (newest !== undefined) return newest;
  throw new LabError(
    "LAB_BAD_IMAGE",
    `${pattern} not found on this machine; install it or remove it from image.json`,
  );
}

/** Returns the paths of a directory's entries whose names match. */
async function matchesIn(directory: string, pattern: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch(() => []);
  const [prefix = "", suffix] = pattern.split("*", 2);
  const isMatch = (name: string): boolean =>
    suffix === undefined ? name === pattern : name.startsWith(prefix) && name.endsWith(suffix);
  return names.filter(isMatch).map((name) => join(directory, name));
}

/** Copies a file, or a directory with all files below it. Skips dangling links. */
async function copyTree(rootfs: string, path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return;
  if (stats.isDirectory()) {
    for (const name of await readdir(path)) await copyTree(rootfs, join(path, name));
    return;
  }
  await copyIntoRootfs(rootfs, path, path, stats.mode);
  if (/\.so(?:\.|$)/.test(path)) await copyLibraries(rootfs, path);
}

async function copyLibraries(rootfs: string, program: string): Promise<void> {
  for (const library of await listSharedLibraries(program)) await copyIntoRootfs(rootfs, library, library);
}

/** Returns absolute paths, including the dynamic loader's. Empty for a static program, for which ldd fails. */
async function listSharedLibraries(program: string): Promise<string[]> {
  const { code, stdout } = await run(["ldd", program]);
  if (code !== 0) return [];
  const missing = /^\s*(\S+) => not found/m.exec(stdout)?.[1];
  if (missing) {
    throw new LabError(
      "LAB_BAD_IMAGE",
      `${program} cannot run on this machine: shared library ${missing} not found`,
    );
  }
  return [...stdout.matchAll(/(?:=>|^)\s*(\/\S+) \(0x/gm)].map((match) => match[1] ?? "");
}

/** Copies a file. For a symbolic link, copies its target under the link's name, so that the image holds plain files. */
async function copyIntoRootfs(rootfs: string, from: string, to: string, mode = 0o755): Promise<void> {
  const target = resolveInside(rootfs, to);
  await mkdir(dirname(target), { recursive: true });
  await copyFile(from, target, constants.COPYFILE_FICLONE);
  await chmod(target, mode);
}

function resolveInside(rootfs: string, path: string): string {
  const target = resolve(rootfs, `.${sep}${path}`);
  if (target === rootfs || target.startsWith(rootfs + sep)) return target;
  throw new LabError("LAB_BAD_IMAGE", `${path} is outside the image`);
}

function requireStrings(key: string, value: unknown): string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw new Error(`${key} must be a list of strings`);
}
