import { BerthError } from "@berth/proto";
import type { CertificateIssuer } from "../../identity/certificate-issuer.js";
import type { ApiContext } from "../api-context.js";

/** @throws BerthError BERTH_UNSUPPORTED when this server has no identity and issues no certificates */
export function requireIssuer({ issuer }: Pick<ApiContext, "issuer">): CertificateIssuer {
  if (issuer !== undefined) return issuer;
  throw new BerthError({
    code: "BERTH_UNSUPPORTED",
    message: "this server issues no certificates: it runs without an identity",
  });
}
