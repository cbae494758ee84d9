import { ChannelCredentials, ServerCredentials } from "@grpc/grpc-js";

// All gRPC credentials are created in this file, so TLS can be added in one place. Connections are currently neither
// encrypted nor authenticated. The README states that berth needs a trusted network.

/** Returns the credentials of a server. */
export function serverCredentials(): ServerCredentials {
  return ServerCredentials.createInsecure();
}

/** Returns the credentials of a client. */
export function channelCredentials(): ChannelCredentials {
  return ChannelCredentials.createInsecure();
}
