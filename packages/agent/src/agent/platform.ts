import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import type { Probe } from "@berth/proto/probe";
import { grpcTransport, type RpcTransport } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { AgentConfig } from "../config.js";
import type { IngressStats } from "../dataplane/table/ingress-table.js";
import { type Ingress, openIngress } from "../dataplane-client/client.js";
import { ingressMetrics } from "../dataplane-client/ingress-metrics.js";
import { serveMetrics } from "../dataplane-client/serve-metrics.js";
import { DockerodeEngine } from "../engine/dockerode/dockerode-engine.js";
import type { Engine } from "../engine/engine.js";
import { examineKernel } from "../networks/examine-kernel.js";
import { linuxHostNetwork } from "../networks/host-network.js";
import type { OverlayEdge } from "../networks/overlay.js";
import { hostWireguardKey } from "../networks/wireguard-key.js";
import { type ContainerProcesses, containerProcesses } from "../node/host/container-processes.js";
import { type Host, linuxHost } from "../node/host/host.js";
import { cheapProbe } from "../node/probe/cheap-probe.js";
import { type Knock, knockAt } from "../node/probe/knock.js";
import { type HostUsage, readHostUsage } from "../node/usage/host-usage.js";
import { UsageReader, type UsageSample } from "../node/usage/sample.js";
import { type Disk, directoryDisk } from "../runtime/disk.js";
import { lockDataDir } from "../runtime/process-lock.js";

/** Everything of an agent that touches the world outside its process, so that a simulation can be that world. */
export interface AgentPlatform {
  readonly hostname: string;
  readonly host: Host;
  readonly engine: Engine;
  readonly overlay: OverlayEdge;
  readonly transport: RpcTransport;
  readonly probe: Probe;
  /** The same, for peers that are asked all the time. */
  readonly peerProbe: Probe;
  /** Whether a port of a container here refuses connections. */
  readonly knock: Knock;
  readonly disk: Disk;
  /** Absent: nothing but Docker tells when a container ends. */
  readonly processes?: ContainerProcesses;
  /** What the container with this first process has used so far; undefined when that cannot be told. */
  readUsage(processId: number): Promise<UsageSample | undefined>;
  /** What the whole host has used so far. */
  readHostUsage(): Promise<HostUsage>;
  openIngress(logger: Logger, signal: AbortSignal): Promise<Omit<Ingress, "stop">>;
  /** Lets Prometheus ask for the ingress's counters. Absent: nobody wants them. Returns how to end it. */
  serveMetrics?(stats: (signal: AbortSignal) => Promise<IngressStats>): Promise<() => void>;
  /** Gives the agent's identity to others. */
  release(): void;
}

/**
 * This host, its Docker and its files.
 * @throws BerthError BERTH_CONFLICT when another agent runs on the same data folder
 */
export async function hostPlatform({
  dataDir,
  dockerSocket,
  resources,
  ingress,
  metrics,
}: AgentConfig): Promise<AgentPlatform> {
  const release = await claim(dataDir);
  const usage = new UsageReader();
  const disk = directoryDisk(dataDir);
  const probe = cheapProbe();
  const wireguard = await hostWireguardKey(disk);
  return {
    hostname: hostname(),
    host: linuxHost(resources),
    engine: new DockerodeEngine(dockerSocket),
    overlay: {
      wireguardPublicKey: wireguard.publicKey,
      devices: linuxHostNetwork({ wireguardPrivateKey: wireguard.privateKey }),
      examineKernel: (signal) => examineKernel(signal),
    },
    transport: grpcTransport,
    probe,
    peerProbe: probe,
    knock: knockAt,
    disk,
    processes: containerProcesses,
    readUsage: (processId) => usage.read(processId),
    readHostUsage: () => readHostUsage(),
    openIngress: (logger, signal) =>
      openIngress({ dataDir: join(dataDir, "ingress"), mode: ingress, logger, signal }),
    ...(metrics === "" ? {} : { serveMetrics: (stats) => serveIngressMetrics(metrics, stats) }),
    release,
  };
}

async function serveIngressMetrics(
  listen: string,
  stats: (signal: AbortSignal) => Promise<IngressStats>,
): Promise<() => void> {
  const server = await serveMetrics(listen, async (signal) => ingressMetrics(await stats(signal)));
  return () => server.close();
}

/** Two agents with one identity would take turns at stopping what the other one starts. */
async function claim(dataDir: string): Promise<() => void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const lock = await lockDataDir(dataDir, "agent");
  if (lock === undefined) {
    throw new BerthError({
      code: "BERTH_CONFLICT",
      message: `another agent runs on ${dataDir}: stop it, or give this one a --data-dir of its own`,
      details: { dataDir },
    });
  }
  lock.unref();
  return () => lock.close();
}
