import { ChannelCredentials, ServerCredentials } from "@grpc/grpc-js";

// All gRPC credentials of berth are made here and nowhere else, so that identities can be added in one place.
// Until then every connection is plain text and unauthenticated: the README says that a lab network is assumed.

/** Credentials of a server that agents and people connect to. */
export function serverCredentials(): ServerCredentials {
  return ServerCredentials.createInsecure();
}

/** Credentials of whoever calls a server. */
export function channelCredentials(): ChannelCredentials {
  return ChannelCredentials.createInsecure();
}
