import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { GPU_CAPABILITY, type HostListener } from "@berth/proto";
import type { DeclaredResources } from "../../core/tasks/generic-resources.js";
import { cachedListeners, readListeners, socketCounts } from "./listening-sockets.js";

/** The resources of a host. */
export interface Host {
  /** Countable resources by kind: the resources that the administrator declared, and detected GPUs. */
  readonly generic: Readonly<Record<string, number>>;
  /** The names of named resources, by kind. Default: none. */
  readonly resourceNames?: Readonly<Record<string, readonly string[]>>;
  /** Returns how many processes and threads the host allows, or 0 if the limit is unknown. */
  pidLimit(): Promise<number>;
  /** Returns all listening sockets, in any order. */
  listeners(): Promise<readonly HostListener[]>;
}

/** This host, as its kernel reports it. */
export function linuxHost(declared: DeclaredResources): Host {
  const counts: Record<string, number> = {};
  const resourceNames: Record<string, readonly string[]> = {};
  for (const [kind, value] of Object.entries(declared)) {
    counts[kind] = typeof value === "number" ? value : value.length;
    if (typeof value !== "number") resourceNames[kind] = value;
  }
  return {
    generic: { ...findGpus(), ...counts },
    resourceNames,
    pidLimit,
    listeners: cachedListeners({ read: () => readListeners(), counts: () => socketCounts() }),
  };
}

/** The directory in which NVIDIA's driver has a directory for each GPU. */
const GPU_DIRECTORY = "/proc/driver/nvidia/gpus";

/** Counts the NVIDIA GPUs of this host. Those of other vendors must be declared. */
function findGpus(): Host["generic"] {
  try {
    return { [GPU_CAPABILITY]: readdirSync(GPU_DIRECTORY).length };
  } catch {
    return {};
  }
}

/** Files with the kernel's limits of processes and threads. The lowest limit applies. */
const LIMIT_FILES = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"] as const;

async function pidLimit(): Promise<number> {
  const texts = await Promise.all(LIMIT_FILES.map((file) => readFile(file, "utf8").catch(() => "")));
  const limits = texts.map((text) => Number.parseInt(text, 10)).filter((limit) => limit > 0);
  return limits.length === 0 ? 0 : Math.min(...limits);
}
