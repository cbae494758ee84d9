import { chmod, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Authority, Authority_State, BerthError } from "@berth/proto";
import {
  createAuthority,
  createRequest,
  type IdentityFiles,
  IdentityFolder,
  issueCertificate,
  readAuthority,
} from "@berth/proto/identity";
import { RotatingIdentity } from "@berth/proto/rpc";
import { authorityContext } from "./certificate-issuer.js";
import {
  type ClusterKey,
  createClusterKey,
  formatClusterKey,
  open,
  parseClusterKey,
  seal,
} from "./cluster-key.js";

const FOLDER = "identity";
const CLUSTER_KEY_FILE = "cluster.key";
/** The authority that the first server created, as in etcd. */
const AUTHORITY_FILE = "authority.json";

const YEAR_MS = 365 * 24 * 60 * 60 * 1_000;
const AUTHORITY_VALIDITY_MS = 10 * YEAR_MS;
/** The server renews its certificate when it starts and after half of this time. */
const FIRST_CERTIFICATE_MS = 3 * 24 * 60 * 60 * 1_000;
const BACKDATE_MS = 60 * 60 * 1_000;

/** What a server needs to prove who it is, and to issue certificates while it leads. */
export interface ServerIdentity {
  readonly rpc: RotatingIdentity;
  readonly clusterKey: ClusterKey;
  /** For the first leader, which stores it in etcd. */
  readonly firstAuthority: Authority;
}

export interface ServerIdentityOptions {
  /** The data directory of the server. */
  readonly dataDir: string;
  readonly nowMs: number;
  readonly newId: () => string;
}

/**
 * Returns the identity in a server's data directory. Creates a cluster, with its first authority, when there is none.
 *
 * A crash during the creation leaves files that the next start uses: the certificate is written last.
 * @throws BerthError BERTH_IDENTITY_INVALID when a file is missing or damaged
 */
export async function openServerIdentity(options: ServerIdentityOptions): Promise<ServerIdentity> {
  const folder = await IdentityFolder.open(join(options.dataDir, FOLDER));
  const existing = await folder.load();
  const files = existing ?? (await createCluster(folder, options));
  const clusterKey = await readClusterKey(folder);
  const firstAuthority = await readFirstAuthority(folder);
  return { rpc: new RotatingIdentity(materialOf(files)), clusterKey, firstAuthority };
}

function materialOf({ authorities, certificate, key }: IdentityFiles) {
  return { authorities, leaf: { certificate, key } };
}

async function createCluster(folder: IdentityFolder, options: ServerIdentityOptions): Promise<IdentityFiles> {
  const { nowMs, newId } = options;
  await createIfMissing(join(folder.path, CLUSTER_KEY_FILE), () => formatClusterKey(createClusterKey()));
  const clusterKey = await readClusterKey(folder);
  await createIfMissing(join(folder.path, AUTHORITY_FILE), async () =>
    JSON.stringify(Authority.toJSON(await createFirstAuthority(clusterKey, `berth-${newId()}`, nowMs))),
  );
  const { certificate: authority, fingerprint, sealedKey } = await readFirstAuthority(folder);
  const request = await createRequest(await folder.prepareKey());
  const certificate = await issueCertificate(
    { certificate: authority, key: open(clusterKey, sealedKey, authorityContext(fingerprint)) },
    {
      request,
      identity: { kind: "server", id: newId() },
      validity: { nowMs, backdateMs: BACKDATE_MS, durationMs: FIRST_CERTIFICATE_MS },
    },
  );
  return folder.store({ certificate, authorities: authority });
}

async function createFirstAuthority(
  clusterKey: ClusterKey,
  cluster: string,
  nowMs: number,
): Promise<Authority> {
  const { certificate, key } = await createAuthority(cluster, {
    ...{ nowMs, backdateMs: BACKDATE_MS },
    durationMs: AUTHORITY_VALIDITY_MS,
  });
  const { fingerprint } = readAuthority(certificate);
  const sealedKey = seal(clusterKey, key, authorityContext(fingerprint));
  return { fingerprint, certificate, sealedKey, state: Authority_State.ISSUING, createdAtMs: nowMs };
}

async function readClusterKey({ path }: IdentityFolder): Promise<ClusterKey> {
  return parseClusterKey(await readRequired(path, CLUSTER_KEY_FILE));
}

async function readFirstAuthority({ path }: IdentityFolder): Promise<Authority> {
  const text = await readRequired(path, AUTHORITY_FILE);
  try {
    const authority = Authority.fromJSON(JSON.parse(text));
    readAuthority(authority.certificate);
    return authority;
  } catch (error) {
    throw invalid(
      path,
      `cannot read ${AUTHORITY_FILE}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

async function readRequired(folder: string, name: string): Promise<string> {
  const text = await readText(join(folder, name));
  if (text === undefined)
    throw invalid(folder, `${name} is missing: copy it from another server, or join again`);
  return text;
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Writes a secret file atomically, unless it exists. */
async function createIfMissing(path: string, create: () => string | Promise<string>): Promise<void> {
  if ((await readText(path)) !== undefined) return;
  const temporary = `${path}.new`;
  await writeFile(temporary, await create(), { mode: 0o600, flush: true });
  await chmod(temporary, 0o600);
  await rename(temporary, path);
}

function invalid(folder: string, why: string): BerthError {
  return new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `cannot use the identity in ${folder}: ${why}`,
  });
}
