import { readFile } from "node:fs/promises";

/** The smallest of them holds. */
const LIMIT_FILES = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"] as const;

/** How many processes and threads the kernel of this host allows; 0 when it does not say. */
export async function pidLimit(): Promise<number> {
  const texts = await Promise.all(LIMIT_FILES.map((file) => readFile(file, "utf8").catch(() => "")));
  const limits = texts.map((text) => Number.parseInt(text, 10)).filter((limit) => limit > 0);
  return limits.length === 0 ? 0 : Math.min(...limits);
}
