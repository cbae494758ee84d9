import { access, chmod, chown, lstat, mkdir, readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { failureOf, type RunProgram } from "../runtime/run-program.js";

/** Type of a tmpfs in `statfs` (TMPFS_MAGIC). */
const TMPFS_TYPE = 0x01021994;
/** Mode of the parent directory. Other users may open berth's socket in it, but cannot list it. */
const PARENT_MODE = 0o711;
/** Maximum share of the host's memory that secrets and configs can use. */
const TMPFS_SIZE = "10%";
const MOUNT_OPTIONS = `mode=0700,nodev,nosuid,noexec,size=${TMPFS_SIZE}`;
/** Exists when SELinux is enabled. */
const SELINUX_STATUS = "/sys/fs/selinux/enforce";
/** Lets containers of all categories read the files. Without this label, SELinux denies them the files of a tmpfs. */
const SELINUX_CONTEXT = "context=system_u:object_r:container_file_t:s0";

export interface MountCall {
  readonly run: RunProgram;
  readonly signal: AbortSignal;
}

/** Mounts a tmpfs that only root can enter, unless it is mounted. */
export async function mountSecrets(mountPoint: string, { run, signal }: MountCall): Promise<void> {
  if (await isTmpfsMounted(mountPoint)) return;
  await mkdir(dirname(mountPoint), { recursive: true, mode: PARENT_MODE });
  await mkdir(mountPoint, { recursive: true, mode: 0o700 });
  const options = (await exists(SELINUX_STATUS)) ? `${MOUNT_OPTIONS},${SELINUX_CONTEXT}` : MOUNT_OPTIONS;
  const mount = async (mountOptions: string): Promise<string | undefined> => {
    const args = ["-t", "tmpfs", "-o", mountOptions, "berth-secrets", mountPoint];
    return failureOf("mount", await run("mount", { args, signal }));
  };
  // Kernels before Linux 6.4 do not have the option.
  if ((await mount(`${options},noswap`)) === undefined) return;
  const failure = await mount(options);
  if (failure !== undefined) throw new Error(`cannot mount a tmpfs at ${mountPoint}: ${failure}`);
}

/** Returns whether a tmpfs is mounted at this path. /run itself may be one, with other options. */
export async function isTmpfsMounted(mountPoint: string): Promise<boolean> {
  try {
    const [own, parent, { type }] = await Promise.all([
      lstat(mountPoint),
      lstat(dirname(mountPoint)),
      statfs(mountPoint),
    ]);
    return own.dev !== parent.dev && type === TMPFS_TYPE;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

/**
 * Creates a directory unless it exists, and lets the members of a group enter it.
 *
 * @param gid 0 to let only root enter it
 */
export async function makeDirectory(path: string, gid: number): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chown(path, 0, gid);
  await chmod(path, gid === 0 ? 0o700 : 0o710);
}

/** Returns why the kernel may write files of this tmpfs to a disk, or "" if it does not. */
export async function readSwapProblem(mountPoint: string): Promise<string> {
  const [mounts, swaps] = await Promise.all([
    readFile("/proc/self/mountinfo", "utf8"),
    readFile("/proc/swaps", "utf8"),
  ]);
  return swapProblem({ mounts, swaps, mountPoint });
}

/** Evaluates the contents of /proc/self/mountinfo and /proc/swaps. */
export function swapProblem({
  mounts,
  swaps,
  mountPoint,
}: {
  readonly mounts: string;
  readonly swaps: string;
  readonly mountPoint: string;
}): string {
  const mounted = mounts.split("\n").findLast((line) => line.split(" ")[4] === mountPoint) ?? "";
  const options = mounted.split(" ").at(-1)?.split(",") ?? [];
  // The first line is a heading.
  const hasSwap = swaps.trim().split("\n").length > 1;
  if (options.includes("noswap") || !hasSwap) return "";
  return "the kernel may write secrets to the swap device; use Linux 6.4 or later, turn off swap, or encrypt it";
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
