import { once } from "node:events";
import { rmSync, statSync } from "node:fs";
import { chmod, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import type { Server } from "@grpc/grpc-js";
import { createDirectory } from "../create-directory.js";
import { BerthError } from "../errors.js";
import { localServerCredentials } from "./credentials.js";

/** Mode of the socket: only the owner may connect, which needs permission to write. */
const SOCKET_MODE = 0o600;

/** Returns the address of a socket for gRPC and for messages. */
export function unixAddress(path: string): string {
  return `unix:${path}`;
}

/**
 * Lets a gRPC server listen on a Unix socket that only the user of this process can open. Returns a function that
 * removes the socket.
 *
 * The socket is created in a directory of this user and moved once its mode is set. With its final name, other users
 * could connect until then.
 *
 * @throws BerthError BERTH_ADDRESS_IN_USE if another process listens on it
 */
export async function listenUnix(server: Server, path: string): Promise<() => void> {
  await prepareSocketPath(path);
  // No longer than the usual name of the socket: the kernel limits paths of sockets to 107 bytes. join() would drop the
  // dot, and with it the separator: the directory would be beside that of the socket, where this user may not write.
  const directory = await mkdtemp(`${dirname(path)}/.`);
  const created = join(directory, "s");
  try {
    await bind(server, created);
    await chmod(created, SOCKET_MODE);
    const { ino } = await stat(created);
    await rename(created, path);
    return () => removeSocket(path, ino);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(unixAddress(path), localServerCredentials(), (error) => {
      if (error === null) {
        resolve();
      } else {
        reject(error);
      }
    });
  });
}

/** Removes the socket, unless another server has replaced it. */
function removeSocket(path: string, ino: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true });
}

/**
 * Creates the directory of a socket, and removes the socket that a killed server has left there.
 *
 * @throws BerthError BERTH_ADDRESS_IN_USE if a process listens on it
 */
async function prepareSocketPath(path: string): Promise<void> {
  await createDirectory(dirname(path));
  if (await isListening(path)) {
    throw new BerthError({
      code: "BERTH_ADDRESS_IN_USE",
      message: `cannot listen on ${path}: another server is running with this socket; stop it, or use another path`,
    });
  }
  await rm(path, { force: true });
}

async function isListening(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
