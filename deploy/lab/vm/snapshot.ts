import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { ownedDirectory } from "../../setup/owned-directory.mjs";
import { listLabNames, readLabState } from "../lab-state.js";
import { runOrThrow } from "../run.js";
import { waitUntil } from "../wait-until.js";
import type { BaseImage } from "./base-image.js";
import type { BerthPackage } from "./berth-package.js";
import type { Acceleration } from "./qemu-command.js";
import type { MachineSource, QemuMachine } from "./qemu-machine.js";
import { adaptUnitsToEmulation } from "./units.js";
import { VM_CACHE } from "./vm-cache.js";

const DIRECTORY = join(VM_CACHE, "snapshots");
const BOOTED = "booted-";
const INSTALLED = "installed-";
/** dockerd starts last. Allows for emulation on a busy machine. */
const DOCKER_TIMEOUT_MS = 600_000;

/** Directories of the snapshots from which machines start. */
export interface SnapshotDirectories {
  /** A machine that has booted and runs Docker. */
  readonly booted: string;
  /** The same machine with the berth package. Undefined in a lab without berth. */
  readonly installed: string | undefined;
}

/**
 * Returns the directories of the snapshots. Their names change with what the snapshots depend on: the image, the
 * package, and QEMU, which reads only snapshots of its own release.
 */
export async function snapshotDirectories(
  image: Pick<BaseImage, "key">,
  berth: BerthPackage | undefined,
  acceleration: Acceleration,
): Promise<SnapshotDirectories> {
  const qemu = await runOrThrow(["qemu-system-x86_64", "--version"]);
  const booted = snapshotName(BOOTED, [image.key, acceleration, qemu]);
  const installed = berth && snapshotName(INSTALLED, [booted, berth.checksum]);
  return { booted: join(DIRECTORY, booted), installed: installed && join(DIRECTORY, installed) };
}

function snapshotName(prefix: string, content: readonly string[]): string {
  return `${prefix}${createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, 16)}`;
}

/** Returns the source of machines that start from a snapshot. */
export function snapshotSource(directory: string): MachineSource {
  return { disk: join(directory, "disk.qcow2"), format: "qcow2", memoryFile: join(directory, "memory") };
}

/** Returns the source of machines that boot an image. */
export function imageSource({ disk }: BaseImage): MachineSource {
  return { disk, format: "raw", memoryFile: undefined };
}

/** Removes the snapshots of other packages, unless a lab uses them: each change of the code makes another one. */
export async function removeOldPackages(current: string): Promise<void> {
  const states = await Promise.all((await listLabNames()).map(readLabState));
  const used = states.map((state) => (state?.machines.kind === "vms" ? state.machines.snapshot : ""));
  for (const name of await readdir(DIRECTORY)) {
    const directory = join(DIRECTORY, name);
    if (!name.startsWith(INSTALLED) || directory === current || used.includes(directory)) continue;
    await rm(directory, { recursive: true, force: true });
  }
}

export interface EnsureSnapshotOptions {
  readonly directory: string;
  /** A machine that has not started yet. It is removed afterwards. */
  readonly machine: QemuMachine;
  /** Brings the machine into the state that the snapshot has. */
  readonly prepare: (machine: QemuMachine) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
  /** Called if the snapshot does not exist yet. */
  readonly onStarted?: () => void;
}

/** Starts a machine, prepares it, and stores its disk and memory in a directory, unless that exists. */
export async function ensureSnapshot(options: EnsureSnapshotOptions): Promise<void> {
  const { directory, machine, prepare, signal } = options;
  if (existsSync(directory)) return;
  options.onStarted?.();
  const scratch = ownedDirectory(DIRECTORY, ".new-");
  try {
    await machine.boot(signal);
    await prepare(machine);
    const result = join(scratch, basename(directory));
    await mkdir(result);
    await machine.saveTo(result, signal);
    await rename(result, directory);
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await rm(machine.paths.dataDir, { recursive: true, force: true });
  }
}

export async function waitForDocker(machine: QemuMachine, signal: AbortSignal | undefined): Promise<void> {
  await waitUntil(async () => (await machine.exec(["docker", "version"], { signal })).code === 0, {
    what: `Docker on ${machine.name} to respond`,
    timeoutMs: DOCKER_TIMEOUT_MS,
    signal,
  });
}

/**
 * Installs the package with apt. The image has all packages that it depends on.
 *
 * @param timingScale factor of the timeouts of berth's units, more than 1 under emulation
 */
export async function installPackage(
  machine: QemuMachine,
  { file }: BerthPackage,
  timingScale: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (timingScale > 1) await adaptUnitsToEmulation(machine, timingScale);
  const path = `/root/${basename(file)}`;
  await machine.copyTo(file, path, signal);
  const install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", path];
  await machine.execOrThrow(["env", "DEBIAN_FRONTEND=noninteractive", ...install], { signal });
  // Reads the program into the page cache.
  await machine.execOrThrow(["berth", "version"], { signal });
  await machine.execOrThrow(["rm", path], { signal });
}
