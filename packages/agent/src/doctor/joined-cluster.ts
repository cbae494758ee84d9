import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { RotatingIdentity, type RpcIdentity } from "@berth/proto/rpc";
import { readState } from "../agent/state-file.js";
import { identityPath } from "../identity/host-identity.js";
import { openStateDirectory } from "../runtime/state-directory.js";

/** The raw contents of an identity's files. Unlike `IdentityDirectory`, reading them changes nothing. */
export interface IdentityTexts {
  readonly certificate: string;
  readonly authorities: string;
  /** The current key, and the key that is waiting for its certificate. */
  readonly keys: readonly string[];
  /** Paths that other users can read. */
  readonly exposed: readonly string[];
}

export interface JoinedCluster {
  /** Servers that the agent knows from `berth agent join` or from the last leader. */
  readonly servers: readonly string[];
  /** Undefined on a host that has not joined, or whose files are unusable. */
  readonly identity?: RpcIdentity;
}

/** Reads the servers and the identity from the agent's data directory. The check "identity" reports problems. */
export async function readJoinedCluster(dataDir: string): Promise<JoinedCluster> {
  const texts = await readIdentityTexts(dataDir).catch(() => undefined);
  if (texts === undefined) return { servers: [] };
  const { servers } = (await readState(openStateDirectory(dataDir))).state;
  const { certificate, authorities, keys } = texts;
  for (const key of keys) {
    try {
      return { servers, identity: new RotatingIdentity({ authorities, leaf: { certificate, key } }) };
    } catch {
      // The check "identity" reports the problem.
    }
  }
  return { servers };
}

/** Reads the files of an identity. Returns undefined on a host that has not joined a cluster. */
export async function readIdentityTexts(dataDir: string): Promise<IdentityTexts | undefined> {
  const directory = identityPath(dataDir);
  const pathOf = (name: string): string => join(directory, name);
  const certificate = await readIfPresent(pathOf("certificate.pem"));
  if (certificate === undefined) return undefined;
  const keyPaths = [pathOf("key.pem"), pathOf("key.next.pem")];
  const keys = await Promise.all(keyPaths.map(readIfPresent));
  const exposed = await Promise.all(
    [directory, ...keyPaths].map(async (path) => ((await isExposed(path)) ? path : "")),
  );
  return {
    certificate,
    authorities: (await readIfPresent(pathOf("authorities.pem"))) ?? "",
    keys: keys.filter((key) => key !== undefined),
    exposed: exposed.filter((path) => path !== ""),
  };
}

async function isExposed(path: string): Promise<boolean> {
  const status = await stat(path).catch(() => undefined);
  return status !== undefined && (status.mode & 0o077) !== 0;
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
