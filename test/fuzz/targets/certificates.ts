import { readFileSync } from "node:fs";
import { isBerthError } from "../../../proto/src/errors.js";
import {
  fingerprintOf,
  isTrustedChain,
  parseChain,
  readTrust,
} from "../../../proto/src/identity/certificate.js";
import { buildServerChain } from "../../../proto/src/rpc/rpc-identity.js";
import { check, checkEqual, unlessRejected } from "../engine/expect.js";
import type { Target } from "../engine/target.js";

/** Two authorities of the cluster "fuzz", the older one first. */
const AUTHORITIES = readFileSync(new URL("authorities.pem", import.meta.url), "utf8");
/** The certificate of a server, issued by the second authority, and that authority cross-signed by the first one. */
const CHAIN = readFileSync(new URL("chain.pem", import.meta.url), "utf8");

/** `proto/src` has another BerthError class than the compiled package, which the other targets use. */
const isRejection = (error: unknown): boolean => isBerthError(error);

const MAX_CERTIFICATES = 16;
const [FIRST = ""] = AUTHORITIES.split(/(?<=-----END CERTIFICATE-----\n)/);
const OLDEST = readTrust(FIRST);
/** Fingerprints of all certificates that the authorities have signed. */
const SIGNED: ReadonlySet<string> = new Set(parseChain(AUTHORITIES + CHAIN).map(fingerprintOf));

export const CERTIFICATE_TARGETS: readonly Target[] = [
  {
    name: "ca-chain",
    seeds: [CHAIN, AUTHORITIES, CHAIN + AUTHORITIES],
    tokens: ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"],
    maxBytes: 128 * 1024,
    run: (bytes) => {
      const pem = bytes.toString("latin1");
      const chain = unlessRejected(() => parseChain(pem), isRejection);
      if (chain !== undefined) {
        check(chain.length > 0 && chain.length <= MAX_CERTIFICATES, "a chain has 1 to 16 certificates");
        const isTrusted = isTrustedChain(chain, OLDEST);
        const isSigned = chain[0] !== undefined && SIGNED.has(fingerprintOf(chain[0]));
        check(!isTrusted || isSigned, "a changed certificate is not trusted");
        const presented = parseChain(buildServerChain(pem, OLDEST));
        check(presented.length <= MAX_CERTIFICATES + 1, "a server presents its chain and an authority");
        checkEqual(
          isTrustedChain(presented, OLDEST),
          isTrusted,
          "the presented chain is as good as the own one",
        );
      }
      const trust = unlessRejected(() => readTrust(pem), isRejection);
      if (trust === undefined) return;
      const { authorities } = trust;
      check(authorities.length > 0 && authorities.length <= MAX_CERTIFICATES, "a bundle has 1 to 16 CAs");
      check(
        authorities.every(({ x509 }) => x509.ca),
        "a bundle has certificates of CAs only",
      );
    },
  },
];
