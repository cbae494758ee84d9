import { BerthError } from "../errors.js";
import {
  parseCertificate,
  parseChain,
  readTrust,
  type Trust,
  verifyCertificate,
} from "../identity/certificate.js";
import type { IdentityFiles } from "../identity/identity-directory.js";
import { isKeyOf } from "../identity/private-key.js";

/** Certificates and keys in PEM, used by one side of a TLS connection to prove its identity and verify its peer. */
export interface TlsMaterial {
  /** CA certificates of the cluster. */
  readonly authorities: string;
  /** Certificate and key. Undefined for a client without an identity, such as a host that joins. */
  readonly leaf: { readonly certificate: string; readonly key: string } | undefined;
}

/** Returns the TLS material of an identity in a directory. */
export function tlsMaterialOf({ authorities, certificate, key }: IdentityFiles): TlsMaterial {
  return { authorities, leaf: { certificate, key } };
}

/** A program's TLS identity, shared by its servers and clients. They use the current material for new connections. */
export interface RpcIdentity {
  readonly current: TlsMaterial;
  /** Calls the listener after each change of the material. Returns a function that removes the listener. */
  subscribe(listener: () => void): () => void;
}

/** An RpcIdentity whose owner replaces the material after a certificate was renewed or the authorities changed. */
export class RotatingIdentity implements RpcIdentity {
  #current: TlsMaterial;
  readonly #listeners = new Set<() => void>();

  /** @throws BerthError BERTH_CERTIFICATE_INVALID; BERTH_IDENTITY_INVALID for material that TLS could not use */
  constructor(material: TlsMaterial) {
    requireUsable(material);
    this.#current = material;
  }

  get current(): TlsMaterial {
    return this.#current;
  }

  /**
   * Replaces the material. Keeps the old one if the new one is unusable.
   *
   * @throws BerthError BERTH_CERTIFICATE_INVALID; BERTH_IDENTITY_INVALID for material that TLS could not use, or that
   *   belongs to another cluster
   */
  update(material: TlsMaterial): void {
    const { cluster } = requireUsable(material);
    const current = trustOf(this.#current).cluster;
    if (cluster !== current) {
      throw unusableIdentityError(`it belongs to the cluster ${cluster}, not to ${current}`);
    }
    this.#current = material;
    for (const listener of this.#listeners) listener();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Returns the authorities that the material trusts. */
export function trustOf(material: TlsMaterial): Trust {
  return readTrust(material.authorities);
}

/**
 * Returns the certificates that a server presents, in PEM: its own, then those that lead to a trusted authority, then
 * the authority, which joining hosts compare.
 *
 * After a rotation from authority A to B, the certificate is followed by B's certificate signed by A. With B's
 * fingerprint, the chain is leaf, B; without one, it is leaf, B signed by A, A.
 *
 * @param certificate the server's certificate, followed by the cross-signed certificates of the authorities
 * @param fingerprint fingerprint of the authority that ends the chain. If omitted, the chain is as long as possible: it
 *   leads to the oldest authority, and contains all later ones
 */
export function buildServerChain(certificate: string, trust: Trust, fingerprint?: string): string {
  const [leaf, ...intermediates] = parseChain(certificate);
  const chain = leaf === undefined ? [] : [leaf];
  for (const next of [...intermediates, undefined]) {
    const last = chain.at(-1);
    const issuer = trust.authorities.find(({ x509 }) => last?.checkIssued(x509));
    if (issuer !== undefined && (next === undefined || issuer.fingerprint === fingerprint)) {
      chain.push(issuer.x509);
      break;
    }
    if (next !== undefined) chain.push(next);
  }
  return chain.map(String).join("");
}

function requireUsable({ authorities, leaf }: TlsMaterial): Trust {
  const trust = readTrust(authorities);
  if (leaf === undefined) return trust;
  const x509 = parseCertificate(leaf.certificate);
  // Verified at the start of its validity: an expired certificate is usable, because the peer rejects it with a reason,
  // or accepts it for a renewal.
  verifyCertificate(x509, trust, { nowMs: Date.parse(x509.validFrom) });
  if (isKeyOf(leaf.key, x509)) return trust;
  throw unusableIdentityError(
    `its private key does not match the certificate with the serial number ${x509.serialNumber}`,
  );
}

function unusableIdentityError(reason: string): BerthError {
  return new BerthError({ code: "BERTH_IDENTITY_INVALID", message: `cannot use the identity: ${reason}` });
}
