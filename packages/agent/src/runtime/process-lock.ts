import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { createServer, type Server } from "node:net";

/**
 * Takes a lock that one process of a network namespace can hold. Returns undefined when another process holds it; close
 * the server to release it. The lock is a socket in Linux's abstract namespace: it is taken atomically and ends with its
 * process, so there are no stale locks.
 */
export async function acquireLock(name: string): Promise<Server | undefined> {
  const lock = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      lock.once("error", reject);
      lock.listen({ path: `\0${name}` }, resolve);
    });
    return lock;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return undefined;
    throw error;
  }
}

/** Takes the lock of a data directory: at most one process of each kind may use it. */
export function lockDataDir(dataDir: string, kind: "agent" | "ingress"): Promise<Server | undefined> {
  const { dev, ino } = statSync(dataDir);
  const name = createHash("sha256").update(`${dev}/${ino}`).digest("hex").slice(0, 32);
  return acquireLock(`berth-${kind}-${name}`);
}
