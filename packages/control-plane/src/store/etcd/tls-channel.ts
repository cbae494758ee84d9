import { isIP } from "node:net";
import { checkServerIdentity, createSecureContext } from "node:tls";
import { Channel, ChannelCredentials, type ClientOptions } from "@grpc/grpc-js";
import { type EtcdTls, MIN_TLS_VERSION } from "../etcd-tls.js";

/**
 * Server name in the handshake with an IP address. TLS has no server names for addresses, and Node.js warns about them.
 */
const NO_SERVER_NAME = "etcd.invalid";

/**
 * Returns options with which etcd3 connects to an endpoint with TLS. Clients with the options of the same call share a
 * connection, and other clients do not.
 *
 * etcd3 can pass certificates to gRPC, but offers no way to handle an address as server name.
 */
export function tlsChannelOptions(endpoint: string, tls: EtcdTls): ClientOptions {
  const host = new URL(endpoint).hostname.replace(/^\[(.*)\]$/, "$1");
  const context = createSecureContext({
    minVersion: MIN_TLS_VERSION,
    ca: tls.authorities,
    cert: tls.certificate,
    key: tls.key,
  });
  const credentials = ChannelCredentials.createFromSecureContext(context, {
    // The first parameter is the server name of the handshake, and not the name or address that was connected to.
    checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
  });
  return {
    ...(isIP(host) !== 0 && { "grpc.ssl_target_name_override": NO_SERVER_NAME }),
    channelFactoryOverride: (address, _, options) => new Channel(address, credentials, options),
  };
}
