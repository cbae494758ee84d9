import {
  type Authority,
  createAuthority,
  createKey,
  createRequest,
  type Identity,
  IdentityDirectory,
  type IdentityFiles,
  issueCertificate,
} from "@berth/proto/identity";
import { PERMISSIONS, RotatingIdentity, type UserRole } from "@berth/proto/rpc";
import { type FakeControl, type FakeControlHandlers, startFakeControl } from "./fake-control.js";

const DAY_MS = 24 * 60 * 60 * 1_000;

/** Start and end of a certificate, in days relative to now. */
export interface ValidityDays {
  readonly from: number;
  readonly until: number;
}

/** A fresh certificate of a user. */
export const FRESH: ValidityDays = { from: -1, until: 29 };

/** A certificate authority of a cluster, and servers with its certificates. */
export class FakeTlsCluster {
  readonly authority: Authority;
  /** Roles of all users. */
  roles: readonly UserRole[] = ["admin"];

  private constructor(authority: Authority) {
    this.authority = authority;
  }

  static async create(cluster = "test"): Promise<FakeTlsCluster> {
    const validity = { nowMs: Date.now(), backdateMs: 400 * DAY_MS, durationMs: 400 * DAY_MS };
    return new FakeTlsCluster(await createAuthority(cluster, validity));
  }

  /** Starts a server with TLS, whose certificate is valid. */
  async start(handlers: FakeControlHandlers, validity = FRESH): Promise<FakeControl> {
    const { certificate, key, authorities } = await this.issue({ kind: "server", id: "s1" }, validity);
    const security = {
      identity: new RotatingIdentity({ authorities, leaf: { certificate, key } }),
      permissions: PERMISSIONS,
      rolesOf: () => this.roles,
    };
    return startFakeControl(handlers, { kind: "tcp", address: "127.0.0.1:0", security });
  }

  /** Issues a certificate for a new key. */
  async issue(identity: Identity, validity = FRESH): Promise<IdentityFiles> {
    const key = createKey();
    const certificate = await this.certify(await createRequest(key), identity, validity);
    return { certificate, key, authorities: this.authority.certificate };
  }

  certify(request: string, identity: Identity, { from, until }: ValidityDays = FRESH): Promise<string> {
    const validity = { nowMs: Date.now(), backdateMs: -from * DAY_MS, durationMs: until * DAY_MS };
    return issueCertificate(this.authority, { request, identity, validity });
  }

  /** Stores a new identity of a user in a directory. */
  async store(path: string, name: string, validity = FRESH): Promise<void> {
    const directory = await IdentityDirectory.open(path);
    const request = await createRequest(await directory.prepareKey());
    const certificate = await this.certify(request, { kind: "user", name }, validity);
    await directory.store({ certificate, authorities: this.authority.certificate });
  }
}
