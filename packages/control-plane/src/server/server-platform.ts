import { type Probe, probeHost } from "@berth/proto/probe";
import { grpcTransport, type RpcIdentity, type RpcTransport } from "@berth/proto/rpc";
import { startHttpServer } from "../http/http-server.js";
import { probeTcp, type TcpProbe } from "./probe-tcp.js";

/** The network access of a server, except for the store and the Unix socket. The simulation replaces it. */
export interface ServerPlatform {
  readonly transport: RpcTransport;
  readonly startHttp: typeof startHttpServer;
  readonly probe: Probe;
  /** Probes the leader. Undefined if a dead leader is replaced only after its lease has expired. */
  readonly probeTcp?: TcpProbe;
}

/** Returns the network access of a real server with this identity. */
export function systemPlatform(identity: RpcIdentity): ServerPlatform {
  return {
    transport: grpcTransport(identity),
    startHttp: (options) => startHttpServer({ ...options, identity }),
    probe: probeHost,
    probeTcp,
  };
}
