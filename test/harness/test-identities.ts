import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createKey, createRequest, IdentityDirectory } from "@berth/proto/identity";
import { RotatingIdentity, type RpcIdentity } from "@berth/proto/rpc";
import { joinedNode } from "../../packages/control-plane/src/api/identities/join.js";
import {
  type CertificateIssuer,
  clusterIssuer,
} from "../../packages/control-plane/src/identity/certificate-issuer.js";
import {
  openServerIdentity,
  type ServerIdentity,
} from "../../packages/control-plane/src/identity/server-identity.js";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { changeKey, encodeValue } from "../../packages/control-plane/src/state/change.js";
import type { Store } from "../../packages/control-plane/src/store/store.js";
import { temporaryDirectory } from "./temporary-directory.js";

/** Files that all servers of a cluster have in their data directories. */
const SECRETS = ["cluster.key", "authority.json", "etcd-authority.json"];

/** Issues the identities of a test cluster. Servers and nodes get them without joining. */
export class TestIdentities {
  readonly #directory: string;
  readonly #issuerAt: (nowMs: number) => CertificateIssuer;
  readonly #nodes = new Map<string, Promise<RotatingIdentity>>();
  #servers = 0;

  private constructor(directory: string, issuerAt: (nowMs: number) => CertificateIssuer) {
    this.#directory = directory;
    this.#issuerAt = issuerAt;
  }

  /** Creates a cluster. */
  static async create(): Promise<TestIdentities> {
    const directory = temporaryDirectory();
    const { clusterKey, firstAuthority } = await open(join(directory, "first"));
    if (firstAuthority === undefined) throw new Error("the cluster has no authority");
    const authorities = () => [firstAuthority];
    return new TestIdentities(directory, (nowMs) =>
      clusterIssuer({ authorities, clusterKey, wallClockMs: () => nowMs }),
    );
  }

  /** Returns the identity of a new server. */
  createServer(): Promise<ServerIdentity> {
    return open(this.createDataDir());
  }

  /** Creates a data directory for another server of the cluster. */
  createDataDir(): string {
    this.#servers += 1;
    const dataDir = join(this.#directory, `s${this.#servers}`);
    mkdirSync(join(dataDir, "identity"), { recursive: true, mode: 0o700 });
    for (const file of SECRETS) {
      copyFileSync(join(this.#directory, "first/identity", file), join(dataDir, "identity", file));
    }
    return dataDir;
  }

  /** Returns a new path for a server's Unix socket. */
  socketPath(): string {
    this.#servers += 1;
    return join(this.#directory, `${this.#servers}.sock`);
  }

  /** Returns the identity of a node. Each call with the same ID returns the same identity. */
  nodeIdentity(id: string): Promise<RpcIdentity> {
    const identity = this.#nodes.get(id) ?? this.#issueNode(id);
    this.#nodes.set(id, identity);
    return identity;
  }

  /** Stores a node's identity in an agent's data directory, as `berth agent join` would at `nowMs`. */
  async storeNode(id: string, dataDir: string, nowMs = Date.now()): Promise<void> {
    const directory = await IdentityDirectory.open(join(dataDir, "identity"));
    const request = await createRequest(await directory.prepareKey());
    await directory.store(await this.#issuerAt(nowMs).issue({ kind: "node", id }, request));
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #issueNode(id: string): Promise<RotatingIdentity> {
    const key = createKey();
    const issued = await this.#issuerAt(Date.now()).issue({ kind: "node", id }, await createRequest(key));
    return new RotatingIdentity({
      authorities: issued.authorities,
      leaf: { certificate: issued.certificate, key },
    });
  }
}

function open(dataDir: string): Promise<ServerIdentity> {
  return openServerIdentity({ dataDir, nowMs: Date.now(), newId: systemRuntime.newId });
}

/**
 * Stores the record of a node that has joined, if there is none. Without it, the leader rejects the node's certificate.
 */
export async function admitNode(
  store: Store,
  id: string,
  signal: AbortSignal,
  { awaitsApproval = false } = {},
): Promise<void> {
  const node = joinedNode(id, { hostname: id, labels: {}, awaitsApproval, nowMs: Date.now() });
  const change = { kind: "put-node", node } as const;
  const key = changeKey(change);
  await store.txn(
    { compare: [{ kind: "absent", key }], ops: [{ kind: "put", key, value: encodeValue(change) ?? "" }] },
    signal,
  );
}
