import { BerthError } from "@berth/proto";
import type { CertificateIssuer } from "../../identity/certificate-issuer.js";
import type { ApiContext } from "../api-context.js";

/** @throws BerthError BERTH_UNSUPPORTED in the simulation, whose servers issue no certificates */
export function requireIssuer({ issuer }: Pick<ApiContext, "issuer">): CertificateIssuer {
  if (issuer !== undefined) return issuer;
  throw new BerthError({
    code: "BERTH_UNSUPPORTED",
    message: "this server has no identity and issues no certificates",
  });
}
