import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { createServer, type Server } from "node:net";

/**
 * Makes sure that one data directory has one process of a kind. The lock is a socket in Linux's abstract namespace:
 * taken atomically, and gone with the process however it ends, so that there is no stale lock to judge. It holds
 * within one network namespace. Close it to give the lock up. Undefined when another process holds it.
 */
export async function lockDataDir(dataDir: string, kind: "agent" | "ingress"): Promise<Server | undefined> {
  const { dev, ino } = statSync(dataDir);
  const name = createHash("sha256").update(`${dev}/${ino}`).digest("hex").slice(0, 32);
  const lock = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      lock.once("error", reject);
      lock.listen({ path: `\0berth-${kind}-${name}` }, resolve);
    });
    return lock;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return undefined;
    throw error;
  }
}
