import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { BerthError, DEFAULT_HOST_FILES, type HostFiles } from "@berth/proto";
import { MAX_SHIPPED_ARCHIVE_BYTES } from "@berth/proto/archive";
import { createDirectory } from "@berth/proto/create-directory";
import type { Probe } from "@berth/proto/probe";
import { grpcTransport, type RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { AgentConfig } from "../config.js";
import { VXLAN_TABLE } from "../core/networks/vxlan-filter.js";
import { TableWatch } from "../dataplane/kernel/table-watch.js";
import type { IngressStats } from "../dataplane/table/ingress-table.js";
import { type IngressClient, openIngress } from "../dataplane-client/ingress-client.js";
import { ingressMetrics } from "../dataplane-client/ingress-metrics.js";
import { IngressUnit } from "../dataplane-client/ingress-unit.js";
import { serveMetrics } from "../dataplane-client/serve-metrics.js";
import { containerOwner } from "../engine/container-owner.js";
import { DockerImages } from "../engine/dockerode/docker-images.js";
import { DockerodeEngine } from "../engine/dockerode/dockerode-engine.js";
import type { Engine } from "../engine/engine.js";
import type { ImageEngine } from "../engine/image-engine.js";
import type { TaskFiles } from "../files/task-files.js";
import { secretsMountPoint, TmpfsTaskFiles } from "../files/tmpfs-task-files.js";
import { certificateMetrics } from "../identity/certificate-metrics.js";
import { type HostIdentity, requireHostIdentity } from "../identity/host-identity.js";
import { LayerStore } from "../images/layer-store.js";
import type { HostNetworking } from "../networks/host-networking.js";
import { detectKernelSupport, linuxNetworkDevices } from "../networks/host-networking.js";
import { hostWireguardKey } from "../networks/wireguard-key.js";
import { type Host, linuxHost } from "../node/host/host.js";
import { type ContainerProcesses, containerProcesses } from "../node/host/process-watch.js";
import { type CheckPort, checkPort } from "../node/probe/check-port.js";
import { createProbe } from "../node/probe/tcp-probe.js";
import { UsageReader, type UsageSample } from "../node/usage/container-usage.js";
import { type HostUsage, readHostUsage } from "../node/usage/host-usage.js";
import { lockDataDir } from "../runtime/process-lock.js";
import { openStateDirectory, type StateDirectory } from "../runtime/state-directory.js";
import { chooseIngressUser, logIngressUser } from "./ingress-user.js";
import { loadOrCreateOwnerKey } from "./owner-key.js";

export interface HostImages {
  readonly engine: ImageEngine;
  readonly store: LayerStore;
  /** The archives of shipped mounts. */
  readonly shipped: LayerStore;
  /** The directory for the copies of shipped mounts that tasks use. */
  readonly copiesDirectory: string;
  /**
   * The "host:port" on which this agent serves images to other agents. Empty for the default port of the advertised
   * address.
   */
  readonly listen: string;
}

/** The agent's I/O: everything that reaches outside its process. The simulation replaces it. */
export interface AgentPlatform {
  readonly nodeId: string;
  readonly hostname: string;
  readonly host: Host;
  readonly engine: Engine;
  readonly networking: HostNetworking;
  readonly transport: RpcTransport;
  /** The certificate to renew. Undefined in the simulation, whose transport has no certificates. */
  readonly identity?: HostIdentity;
  readonly probe: Probe;
  /** Probes other nodes continuously. */
  readonly peerProbe: Probe;
  /** Connects to a port of a local container and returns the result. */
  readonly checkPort: CheckPort;
  readonly stateDirectory: StateDirectory;
  /** The secrets and configs of tasks. */
  readonly taskFiles: TaskFiles;
  /** The files that policies protect. Undefined on a host with default settings. */
  readonly files?: HostFiles;
  /** The dependencies of image transfers. Undefined in the simulation, whose hosts have no images. */
  readonly images?: HostImages;
  /** Reads the processes of containers. Undefined if only Docker reports the end of a container. */
  readonly processes?: ContainerProcesses;
  /** Reads the usage counters of the container with this main process. Returns undefined if they cannot be read. */
  readUsage(processId: number): Promise<UsageSample | undefined>;
  /** Reads the usage counters of the host. */
  readHostUsage(): Promise<HostUsage>;
  openIngress(logger: Logger, signal: AbortSignal): Promise<Omit<IngressClient, "stop">>;
  /**
   * Serves the ingress process's counters and the state of the certificate to Prometheus. Returns a function that stops
   * it. Undefined without --metrics.
   */
  serveMetrics?(stats: (signal: AbortSignal) => Promise<IngressStats>): Promise<() => void>;
  /** Releases the lock of the data directory. */
  release(): void;
}

/**
 * Returns the platform of a real host, and locks its data directory.
 *
 * @throws BerthError BERTH_CONFLICT if another agent uses the data directory, BERTH_IDENTITY_INVALID if the host has
 *   not joined a cluster
 */
export async function hostPlatform(config: AgentConfig, log: Logger): Promise<AgentPlatform> {
  const { dataDir, dockerSocket, resources, ingress, ingressUser, ingressUnit, metrics } = config;
  const release = await lockOrThrow(dataDir);
  const usage = new UsageReader();
  const stateDirectory = openStateDirectory(dataDir);
  const probe = createProbe();
  const secrets = Promise.all([
    hostWireguardKey(stateDirectory, log),
    loadOrCreateOwnerKey(stateDirectory),
    requireHostIdentity(dataDir),
  ]);
  const [wireguard, ownerKey, identity] = await secrets.catch((error: unknown) => {
    release();
    throw error;
  });
  return {
    nodeId: identity.nodeId,
    hostname: hostname(),
    host: linuxHost(resources),
    engine: new DockerodeEngine(dockerSocket, containerOwner(ownerKey)),
    networking: {
      wireguardPublicKey: wireguard.publicKey,
      devices: linuxNetworkDevices({ wireguardPrivateKey: wireguard.privateKey }),
      watchVxlanFilter: (onRemoved, log) =>
        new TableWatch({ table: VXLAN_TABLE, log, onChainDeleted: onRemoved }),
      detectKernelSupport: (signal) => detectKernelSupport(signal),
    },
    transport: grpcTransport(identity.rpc),
    identity,
    probe,
    peerProbe: probe,
    checkPort,
    stateDirectory,
    taskFiles: new TmpfsTaskFiles(secretsMountPoint(dataDir)),
    files: {
      berth: [...DEFAULT_HOST_FILES.berth, resolve(dataDir)],
      docker: [...DEFAULT_HOST_FILES.docker, resolve(dockerSocket)],
    },
    images: {
      engine: new DockerImages(dockerSocket),
      store: new LayerStore(join(dataDir, "layers"), config.imageCacheBytes),
      shipped: new LayerStore(join(dataDir, "shipped"), Number.POSITIVE_INFINITY, MAX_SHIPPED_ARCHIVE_BYTES),
      copiesDirectory: join(resolve(dataDir), "mounts"),
      listen: config.imageListen,
    },
    processes: containerProcesses,
    readUsage: (processId) => usage.read(processId),
    readHostUsage: () => readHostUsage(),
    openIngress: async (logger, signal) => {
      const chosen = await chooseIngressUser(ingressUser, signal);
      logIngressUser(logger, chosen);
      const { user } = chosen;
      const unit = ingressUnit === "" ? undefined : new IngressUnit({ name: ingressUnit });
      return openIngress({ dataDir: join(dataDir, "ingress"), mode: ingress, user, unit, logger, signal });
    },
    ...(metrics === "" ? {} : { serveMetrics: (stats) => serveAgentMetrics({ metrics, identity }, stats) }),
    release,
  };
}

async function serveAgentMetrics(
  { metrics, identity }: { readonly metrics: string; readonly identity: HostIdentity },
  stats: (signal: AbortSignal) => Promise<IngressStats>,
): Promise<() => void> {
  const collect = async (signal: AbortSignal): Promise<string> =>
    `${await ingressMetrics(await stats(signal))}${await certificateMetrics(identity)}`;
  const server = await serveMetrics(metrics, collect, identity.rpc);
  return () => server.close();
}

/**
 * Locks the data directory, because two agents with one identity would stop each other's containers. Returns a function
 * that releases the lock.
 *
 * @throws BerthError BERTH_CONFLICT if another agent holds the lock
 */
async function lockOrThrow(dataDir: string): Promise<() => void> {
  await createDirectory(dataDir, 0o700);
  const lock = await lockDataDir(dataDir, "agent");
  if (lock === undefined) {
    throw new BerthError({
      code: "BERTH_CONFLICT",
      message: `another agent uses ${dataDir}; stop it, or start this one with another --data-dir`,
      details: { dataDir },
    });
  }
  return () => lock.release();
}
