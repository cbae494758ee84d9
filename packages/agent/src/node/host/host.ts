import { readFile } from "node:fs/promises";
import type { HostListener } from "@berth/proto";
import { cachedListeners, readListeners, socketCounts } from "./listening-sockets.js";

/** The resources of a host. */
export interface Host {
  /** Countable resources that the administrator declared, by kind. */
  readonly generic: Readonly<Record<string, number>>;
  /** Returns how many processes and threads the host allows; 0 when it is not known. */
  pidLimit(): Promise<number>;
  /** Returns all listening sockets, in any order. */
  listeners(): Promise<readonly HostListener[]>;
}

/** This host, as its kernel reports it. */
export const linuxHost = (generic: Host["generic"]): Host => ({
  generic,
  pidLimit,
  listeners: cachedListeners({ read: () => readListeners(), counts: () => socketCounts() }),
});

/** The lowest of these limits applies. */
const LIMIT_FILES = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"] as const;

async function pidLimit(): Promise<number> {
  const texts = await Promise.all(LIMIT_FILES.map((file) => readFile(file, "utf8").catch(() => "")));
  const limits = texts.map((text) => Number.parseInt(text, 10)).filter((limit) => limit > 0);
  return limits.length === 0 ? 0 : Math.min(...limits);
}
