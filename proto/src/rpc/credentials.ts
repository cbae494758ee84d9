import {
  type ConnectionOptions,
  createSecureContext,
  type DetailedPeerCertificate,
  type SecureContext,
} from "node:tls";
import { ChannelCredentials, type ChannelOptions, ServerCredentials } from "@grpc/grpc-js";
import {
  type CertificateFacts,
  parseCertificate,
  requireNodeCertificate,
  requireServer,
  type Trust,
  verifyCertificate,
} from "../identity/certificate.js";
import { presentedChain } from "../identity/fetch-authority.js";
import { closeHandshakesWithClient } from "./handshakes-in-progress.js";
import { type TlsMaterial, trustOf } from "./rpc-identity.js";

/**
 * Lowest TLS version. TLS 1.2 shows the client's certificate to everyone on the network, and no peer needs it: all
 * peers are berth.
 */
export const TLS_VERSION = "TLSv1.3";

/**
 * Server name of each TLS connection. Certificates have no host names, and with the address of the server, Node.js
 * would warn about IP addresses (DEP0123).
 */
const SERVER_NAME = "berth.invalid";

export const TLS_CLIENT_OPTIONS: ChannelOptions = { "grpc.ssl_target_name_override": SERVER_NAME };

/** Returns the credentials of a gRPC server on a Unix socket, or behind a listener that has terminated TLS. */
export function localServerCredentials(): ServerCredentials {
  return ServerCredentials.createInsecure();
}

/** Returns the credentials of a client of a Unix socket, which only the user of the server can open. */
export function localChannelCredentials(): ChannelCredentials {
  return ChannelCredentials.createInsecure();
}

/** Cached by material, which does not change: parsing its keys and certificates takes milliseconds. */
const channelCredentials = new WeakMap<TlsMaterial, ChannelCredentials>();

/** Returns the credentials of a client that connects to a server with TLS. */
export function tlsChannelCredentials(material: TlsMaterial): ChannelCredentials {
  const cached = channelCredentials.get(material);
  if (cached !== undefined) return cached;
  const credentials = createChannelCredentials(material, requireServer);
  channelCredentials.set(material, credentials);
  return credentials;
}

/** Returns the credentials of a client that connects to the agent of a node with TLS. */
export function nodeChannelCredentials(material: TlsMaterial, nodeId: string): ChannelCredentials {
  return createChannelCredentials(material, (facts) => requireNodeCertificate(facts, nodeId));
}

/** Returns the options of a TLS connection to the agent of a node. */
export function nodeTlsOptions(material: TlsMaterial, nodeId: string): ConnectionOptions {
  const requireAccepted = (facts: CertificateFacts): void => requireNodeCertificate(facts, nodeId);
  return { servername: SERVER_NAME, ...clientTlsOptions(material, requireAccepted) };
}

function createChannelCredentials(
  material: TlsMaterial,
  requireAccepted: (facts: CertificateFacts) => void,
): ChannelCredentials {
  const { secureContext, checkServerIdentity } = clientTlsOptions(material, requireAccepted);
  const credentials = ChannelCredentials.createFromSecureContext(secureContext, { checkServerIdentity });
  return closeHandshakesWithClient(credentials);
}

function clientTlsOptions(
  material: TlsMaterial,
  requireAccepted: (facts: CertificateFacts) => void,
): {
  readonly secureContext: SecureContext;
  readonly checkServerIdentity: NonNullable<ConnectionOptions["checkServerIdentity"]>;
} {
  const { authorities, leaf } = material;
  const trust = trustOf(material);
  const secureContext = createSecureContext({
    minVersion: TLS_VERSION,
    ca: authorities,
    ...(leaf && { cert: leaf.certificate, key: leaf.key }),
  });
  return {
    secureContext,
    // Node.js passes the whole chain.
    checkServerIdentity: (_, certificate) =>
      checkServer(certificate as DetailedPeerCertificate, { trust, requireAccepted }),
  };
}

/** Returns why a server whose certificate leads to a trusted CA is not accepted: it must have the expected identity. */
function checkServer(
  certificate: DetailedPeerCertificate,
  {
    trust,
    requireAccepted,
  }: { readonly trust: Trust; readonly requireAccepted: (facts: CertificateFacts) => void },
): Error | undefined {
  try {
    const [leaf, ...intermediates] = presentedChain(certificate).map(parseCertificate);
    if (leaf === undefined) throw new Error("the server presented no certificate");
    requireAccepted(verifyCertificate(leaf, trust, { nowMs: Date.now() }, intermediates));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
