import { isIP, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Revocations } from "../rpc/authorization.js";
import { CallerConnection } from "../rpc/caller-connection.js";
import { type RpcIdentity, trustOf } from "../rpc/rpc-identity.js";
import { isLoopback } from "../spec/host-address.js";

/** The client of an HTTP request. */
export type HttpClient =
  /** A program on this host. */
  | { readonly kind: "local" }
  /** A user or server of the cluster, with its certificate. */
  | { readonly kind: "member" }
  /** Any other client. `reason` explains what it lacks. */
  | { readonly kind: "unauthenticated"; readonly reason: string };

export interface HttpTrust {
  /** The identity of this program, for clients that use TLS. Undefined if it has none. */
  readonly identity?: RpcIdentity | undefined;
  readonly revocations?: Revocations | undefined;
  /** @default whether both ends of the connection are on this host */
  readonly isLocal?: (socket: Socket) => boolean;
}

/** Returns the client of a connection. */
export function httpClientOf(
  socket: Socket,
  { identity, revocations, isLocal = isOnThisHost }: HttpTrust,
): HttpClient {
  if (isLocal(socket)) return { kind: "local" };
  if (identity === undefined || !(socket instanceof TLSSocket)) {
    return { kind: "unauthenticated", reason: "use HTTPS with a client certificate" };
  }
  try {
    const policy = { trust: trustOf(identity.current), revocations };
    const { kind } = new CallerConnection(socket, policy).authenticate();
    if (kind === "user" || kind === "server") return { kind: "member" };
    const certificate = kind === "node" ? "a node's certificate" : "no certificate";
    return { kind: "unauthenticated", reason: `the client has ${certificate}` };
  } catch (error) {
    return { kind: "unauthenticated", reason: error instanceof Error ? error.message : String(error) };
  }
}

/** Clients elsewhere cannot use an address of this host: its kernel drops their packets. */
function isOnThisHost({ remoteAddress = "", localAddress }: Socket): boolean {
  return remoteAddress === localAddress || isLoopbackAddress(remoteAddress);
}

/** Returns whether a socket's address is a loopback address, including IPv4 addresses as IPv6 sockets show them. */
function isLoopbackAddress(address: string): boolean {
  const ip = address.replace(/^::ffff:/, "");
  return isIP(ip) !== 0 && isLoopback(ip);
}
