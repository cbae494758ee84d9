import { hostname } from "node:os";
import {
  ControlServiceService,
  DispatcherServiceService,
  isBerthError,
  PeerServiceService,
} from "@berth/proto";
import { type Probe, probeHost } from "@berth/proto/probe";
import { grpcTransport, type RpcTransport, rpcService } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { NetworkPool } from "../core/allocator/address-pool.js";
import { health } from "../http/health.js";
import { startHttpServer } from "../http/http-server.js";
import { Metrics } from "../http/metrics.js";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import { watchLeader } from "../store/election.js";
import { LEADER_KEY } from "../store/keys.js";
import { ensureSchema } from "../store/schema.js";
import type { Store } from "../store/store.js";
import { routeControlService } from "./control-router.js";
import { routeDispatcherService } from "./dispatcher-router.js";
import { havePeersLostLeader, LeaderContact, peerHandlers } from "./leader-contact.js";
import { probeTcp, type TcpProbe } from "./probe-tcp.js";
import { Role } from "./role.js";
import { runCandidate } from "./run-candidate.js";
import { addressIn, ServerRegistry } from "./server-registry.js";

/** How fresh a server's own contact with the leader must be for others to rely on it. */
const HEARD_WITHIN_MS = 700;

/** An etcd that is being started along with us is waited for; then whoever started us should hear of it. */
const ETCD_START_TIMEOUT_MS = 10_000;
const ETCD_START_RETRY_MS = 250;

/** For the next leader to be elected when this one has resigned, and for calls to get their answers from it. */
const HAND_OVER_MS = 500;
const PASS_ON_MS = 200;

/** For answers that are on their way when the server is told to stop. */
const CLOSE_GRACE_MS = 500;

export interface ServerOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** "host:port" for gRPC; port 0 picks a free one. */
  readonly listen: string;
  /** "host:port" for /healthz and /metrics. */
  readonly http: string;
  /** "host:port" where others reach this server; undefined: where it listens. */
  readonly advertise: string | undefined;
  /** Tasks move onto a node that came back once it was up for so long; undefined: only when somebody asks. */
  readonly autoRebalanceMs?: number | undefined;
  /** While this server leads: moves the lead of its store to its host; false: it was there. Absent: it stays anywhere. */
  readonly moveEtcdLeader?: (signal: AbortSignal) => Promise<boolean>;
  /** Where networks over hosts get their addresses. */
  readonly networkPool?: NetworkPool | undefined;
  /** Hosts that a network may have before they are told where its containers are. */
  readonly floodLimit?: number | undefined;
  /** What it listens with: the network, unless a simulation brings its own. */
  readonly platform?: ServerPlatform;
}

/** Everything of a server that touches the network, beside the store. */
export interface ServerPlatform {
  readonly transport: RpcTransport;
  readonly startHttp: typeof startHttpServer;
  readonly probe: Probe;
  /** Absent: a dead leader is replaced when its lease has run out. */
  readonly probeTcp?: TcpProbe;
}

/** The network that is there. */
export const SYSTEM_PLATFORM: ServerPlatform = {
  transport: grpcTransport,
  startHttp: startHttpServer,
  probe: probeHost,
  probeTcp: probeTcp,
};

export interface RunningServer {
  readonly address: string;
  readonly httpAddress: string;
  /** Resolves when the server has stopped: after its signal aborted, and what it led is resigned. */
  readonly stopped: Promise<void>;
}

/**
 * Starts one server of the control plane: it answers calls, stands for election, and stops when `signal` aborts.
 * @throws BerthError BERTH_ETCD_UNAVAILABLE, BERTH_ADDRESS_IN_USE, BERTH_UNSUPPORTED
 */
export async function startServer(options: ServerOptions, signal: AbortSignal): Promise<RunningServer> {
  const {
    store,
    runtime,
    logger,
    autoRebalanceMs,
    moveEtcdLeader: bringStoreHome,
    networkPool,
    floodLimit,
  } = options;
  const { platform: edges = SYSTEM_PLATFORM } = options;
  const { clock } = runtime;
  const { transport } = edges;
  await etcdAnswers(options, signal);

  const role = new Role(clock);
  const router = routeControlService({ role, clock, transport });
  let contact: LeaderContact | undefined;
  const checkLeader = (epoch: bigint): boolean => contact?.hasHeardFrom(epoch, HEARD_WITHIN_MS) === true;
  const rpc = await transport.serve({
    listen: options.listen,
    services: [
      rpcService(ControlServiceService, router.handlers),
      rpcService(DispatcherServiceService, routeDispatcherService(role)),
      rpcService(PeerServiceService, peerHandlers(checkLeader)),
    ],
    onInternalError: (path, error) => logger.error({ err: error, path }, "a call failed unexpectedly"),
  });
  const metrics = new Metrics(() => role.leadership);
  const http = await edges
    .startHttp({
      listen: options.http,
      routes: {
        "/healthz": () => health(store, role),
        "/metrics": async () => ({
          status: 200,
          contentType: "text/plain; version=0.0.4",
          body: await metrics.text(),
        }),
      },
    })
    .catch(async (error: unknown) => {
      await rpc.close(0);
      throw error;
    });

  const address = options.advertise ?? rpc.address;
  role.setOwnAddress(address);
  const registry = new ServerRegistry({ store, runtime, logger, address });
  // The host is in it since several may listen at "127.0.0.1:7400".
  const self = JSON.stringify({ address, host: hostname() });
  const { probeTcp: knockAt } = edges;
  contact =
    knockAt &&
    new LeaderContact({
      clock,
      logger,
      self,
      probeTcp: knockAt,
      onSuspicion: (isDoubtful) => role.setLeaderSuspect(isDoubtful),
      havePeersLostLeader: (leader, asked) => {
        const uninvolved = new Set([address, addressIn(leader.value)]);
        const peers = registry.addresses().filter((each) => !uninvolved.has(each));
        return havePeersLostLeader({ transport, peers, leader }, asked);
      },
    });
  const standing = runCandidate(
    {
      store,
      runtime,
      logger,
      probe: edges.probe,
      role,
      registry,
      metrics,
      address,
      self,
      contact,
      autoRebalanceMs,
      moveEtcdLeader: bringStoreHome,
      networkPool,
      floodLimit,
    },
    signal,
  );
  const over = new AbortController();
  const others = Promise.all([registry.run(signal), observe({ store, role, runtime }, over.signal)]);
  const stopped = standing
    .then(() => handOver(role, { clock, isAlone: registry.addresses().length === 1 }))
    .then(() => rpc.close(CLOSE_GRACE_MS))
    .then(async () => {
      over.abort();
      http.close();
      router.close();
      await others;
    });
  logger.info({ listen: rpc.address, http: http.address, advertise: address }, "server is up");
  return { address, httpAddress: http.address, stopped };
}

/** Calls that were under way when this server resigned are passed on to the next leader, which is there in a moment. */
async function handOver(
  role: Role,
  { clock, isAlone }: { readonly clock: Runtime["clock"]; readonly isAlone: boolean },
): Promise<void> {
  if (isAlone) return;
  const signal = new AbortController().signal;
  await role.waitForTarget(HAND_OVER_MS, signal).catch(() => {});
  await sleep(clock, PASS_ON_MS, signal);
}

async function observe(
  { store, role, runtime }: { readonly store: Store; readonly role: Role; readonly runtime: Runtime },
  signal: AbortSignal,
): Promise<void> {
  for await (const leader of watchLeader({ store, key: LEADER_KEY, clock: runtime.clock }, signal)) {
    role.setLeaderAddress(leader && addressIn(leader.value));
  }
}

async function etcdAnswers({ store, runtime, logger }: ServerOptions, signal: AbortSignal): Promise<void> {
  const deadlineMs = runtime.clock.nowMs() + ETCD_START_TIMEOUT_MS;
  for (;;) {
    try {
      return await ensureSchema(store, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isBerthError(error, "BERTH_ETCD_UNAVAILABLE") || runtime.clock.nowMs() > deadlineMs) throw error;
      logger.debug({ err: error }, "waiting for etcd");
    }
    await sleep(runtime.clock, ETCD_START_RETRY_MS, signal);
  }
}
