import { existsSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { ownedDirectory } from "../../setup/owned-directory.mjs";
import { runOrThrow } from "../run.js";
import { VM_CACHE } from "./vm-cache.js";

/** Package that depends on the current kernel package of this Debian release. */
const META_PACKAGE = "linux-image-amd64";
/** Timeout for downloading 70 MB and unpacking 400 MB on a busy machine. */
const FETCH_TIMEOUT_MS = 600_000;

/** A kernel and its modules from a Debian package, for the virtual machines of the lab. */
export interface Kernel {
  /** Release, as printed by `uname -r`. */
  readonly release: string;
  readonly image: string;
  /** Directory of the modules, including the files that depmod generates. */
  readonly modules: string;
}

/** Returns Debian's kernel. Downloads it without installing it, unless it is cached. */
export async function fetchKernel(signal: AbortSignal): Promise<Kernel> {
  const name = await packageName(signal);
  const directory = join(VM_CACHE, name);
  if (!existsSync(directory)) await unpack(name, directory, signal);
  const [release] = await readdir(join(directory, "lib/modules"));
  if (release === undefined) {
    throw new Error(`${directory} has no modules; remove the directory to download the kernel again`);
  }
  return {
    release,
    image: join(directory, "boot", `vmlinuz-${release}`),
    modules: join(directory, "lib/modules", release),
  };
}

async function packageName(signal: AbortSignal): Promise<string> {
  const cached = await readdir(VM_CACHE).catch(() => []);
  const [newest] = cached
    .filter((name) => name.startsWith("linux-image-"))
    .sort(new Intl.Collator("en", { numeric: true }).compare)
    .reverse();
  if (newest !== undefined) return newest;
  const name = await dependencyOf(META_PACKAGE, signal);
  if (name !== undefined) return name;
  console.error("vm: updating Debian's package lists (apt-get update)");
  await runOrThrow(["apt-get", "update", "--quiet"], { timeoutMs: FETCH_TIMEOUT_MS, signal });
  const afterUpdate = await dependencyOf(META_PACKAGE, signal);
  if (afterUpdate === undefined) {
    throw new Error(`package ${META_PACKAGE} not found; add a Debian mirror to /etc/apt/sources.list`);
  }
  return afterUpdate;
}

async function dependencyOf(name: string, signal: AbortSignal): Promise<string | undefined> {
  const listed = await runOrThrow(["apt-cache", "depends", name], { signal }).catch(() => "");
  return /Depends: (linux-image-\S+)/.exec(listed)?.[1];
}

/** Unpacks into a temporary directory first, so that a directory in the cache is always complete. */
async function unpack(name: string, directory: string, signal: AbortSignal): Promise<void> {
  console.error(`vm: downloading ${name} (70 MB) into ${VM_CACHE} without installing it`);
  const scratch = ownedDirectory(VM_CACHE, ".new-");
  try {
    const options = { timeoutMs: FETCH_TIMEOUT_MS, signal };
    await runOrThrow(["sh", "-c", 'cd "$0" && apt-get download --quiet "$1"', scratch, name], options);
    const files = await readdir(scratch);
    const archive = files.find((file) => file.endsWith(".deb"));
    if (archive === undefined) throw new Error(`apt-get download did not download ${name}`);
    const contents = join(scratch, "contents");
    await runOrThrow(["dpkg", "-x", join(scratch, archive), contents], options);
    const [release] = await readdir(join(contents, "lib/modules"));
    if (release === undefined) throw new Error(`package ${name} has no kernel modules`);
    await runOrThrow(["depmod", "-b", contents, release], options);
    await rename(contents, directory);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
