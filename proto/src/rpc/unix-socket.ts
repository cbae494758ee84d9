import { once } from "node:events";
import { chmod, mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import type { Server } from "@grpc/grpc-js";
import { BerthError } from "../errors.js";
import { localServerCredentials } from "./credentials.js";

/** Only the owner may connect, which needs permission to write. */
const SOCKET_MODE = 0o600;

/** Returns the address of a socket for gRPC and for messages. */
export function unixAddress(path: string): string {
  return `unix:${path}`;
}

/**
 * Lets a gRPC server listen on a unix socket that only the user of this process can open.
 * @throws BerthError BERTH_ADDRESS_IN_USE when another process listens on it
 */
export async function listenUnix(server: Server, path: string): Promise<void> {
  await prepareSocketPath(path);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(unixAddress(path), localServerCredentials(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  await chmod(path, SOCKET_MODE);
}

/**
 * Creates the folder of a socket, and removes the socket that a killed server has left there.
 * @throws BerthError BERTH_ADDRESS_IN_USE when a process listens on it
 */
async function prepareSocketPath(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  if (await isListening(path)) {
    throw new BerthError({
      code: "BERTH_ADDRESS_IN_USE",
      message: `cannot listen on ${path}: another server is running with this socket: stop it, or use another path`,
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
