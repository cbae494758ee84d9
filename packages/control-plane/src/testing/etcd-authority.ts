import {
  type Authority,
  createAuthority,
  createRequest,
  type IdentityDirectory,
  issueCertificate,
} from "@berth/proto/identity";
import type { EtcdTls } from "../store/etcd-tls.js";

const HOUR_MS = 60 * 60 * 1_000;

export interface MemberCertificate {
  /** ID of the server. */
  readonly id: string;
  /** IP addresses of the server's URLs. Default: loopback. */
  readonly addresses?: readonly string[];
  /** How long the certificate is valid from now on; negative for one that has expired. Default: an hour. */
  readonly validForMs?: number;
}

/** The CA of etcd in a test cluster. */
export class EtcdAuthority {
  readonly #authority: Authority;

  private constructor(authority: Authority) {
    this.#authority = authority;
  }

  static async create(cluster = "test"): Promise<EtcdAuthority> {
    const validity = { nowMs: Date.now(), backdateMs: HOUR_MS, durationMs: 10 * HOUR_MS };
    return new EtcdAuthority(await createAuthority(cluster, validity));
  }

  /** Issues a certificate for a new key of the directory, and stores both there. */
  async issueTo(directory: IdentityDirectory, certificate: MemberCertificate): Promise<EtcdTls> {
    const { id, addresses = ["127.0.0.1"], validForMs = HOUR_MS } = certificate;
    const pem = await issueCertificate(this.#authority, {
      request: await createRequest(await directory.prepareKey()),
      identity: { kind: "server", id },
      validity: { nowMs: Date.now(), backdateMs: HOUR_MS, durationMs: validForMs },
      hosts: addresses,
    });
    return directory.store({ certificate: pem, authorities: this.#authority.certificate });
  }
}
