import { createSecureContext, type PeerCertificate } from "node:tls";
import { ChannelCredentials, type ChannelOptions, ServerCredentials } from "@grpc/grpc-js";
import { parseCertificate, requireServer, type Trust, verifyCertificate } from "../identity/certificate.js";
import { type TlsMaterial, trustOf } from "./rpc-identity.js";

/** TLS 1.2 shows the client's certificate to everyone on the network. All peers are berth, so none needs it. */
export const TLS_VERSION = "TLSv1.3";

/**
 * The server name of each TLS connection. Certificates have no host names, and with the address of the server, Node.js
 * would warn about IP addresses (DEP0123).
 */
const SERVER_NAME = "berth.invalid";

export const TLS_CLIENT_OPTIONS: ChannelOptions = { "grpc.ssl_target_name_override": SERVER_NAME };

/** Returns the credentials of a server without TLS, or behind a listener that has terminated it. */
export function plaintextServerCredentials(): ServerCredentials {
  return ServerCredentials.createInsecure();
}

/** Returns the credentials of a client. Without material, the connection is neither encrypted nor authenticated. */
export function channelCredentials(material: TlsMaterial | undefined): ChannelCredentials {
  if (material === undefined) return ChannelCredentials.createInsecure();
  const { authorities, leaf } = material;
  const trust = trustOf(material);
  const context = createSecureContext({
    minVersion: TLS_VERSION,
    ca: authorities,
    ...(leaf && { cert: leaf.certificate, key: leaf.key }),
  });
  return ChannelCredentials.createFromSecureContext(context, {
    checkServerIdentity: (_, certificate) => checkServer(certificate, trust),
  });
}

/** Returns why a server with a certificate of a trusted CA is not accepted: it must be a server of the cluster. */
function checkServer(certificate: PeerCertificate, trust: Trust): Error | undefined {
  try {
    requireServer(verifyCertificate(parseCertificate(certificate.raw), trust, { nowMs: Date.now() }));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
