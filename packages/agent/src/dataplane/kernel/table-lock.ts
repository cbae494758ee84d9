import { createServer, type Server } from "node:net";

/** In Linux's abstract namespace: one per network namespace, as the table, and gone with its process. */
const NAME = "\0berth-kernel-table";

/** Makes sure that one process has the kernel's table. Close it to give it up. Undefined: another one has it. */
export async function lockTable(): Promise<Server | undefined> {
  const lock = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      lock.once("error", reject);
      lock.listen({ path: NAME }, resolve);
    });
    return lock;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return undefined;
    throw error;
  }
}
