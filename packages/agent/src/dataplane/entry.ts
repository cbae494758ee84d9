import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { BERTH_VERSION } from "@berth/proto";
import { type ServiceManager, serviceManager } from "@berth/proto/service-manager";
import type { Logger } from "pino";
import { createLogger } from "../runtime/logger.js";
import { lockDataDir, type ProcessLock } from "../runtime/process-lock.js";
import { type ControlServer, createControlServer, watchSocketFile } from "./control/control-server.js";
import { SOCKET_NAME } from "./control/protocol.js";
import { createDnsServer } from "./dns/dns-server.js";
import { DnsFirewallRules } from "./dns/firewall-rules.js";
import { GracefulShutdown } from "./graceful-shutdown.js";
import { type HandoverSource, handOver, releaseTo } from "./handover/source.js";
import { type Handover, receiveHandover } from "./handover/successor.js";
import { raiseConntrackTimeouts } from "./kernel/conntrack-timeouts.js";
import { INGRESS_MODES, type IngressMode, isIngressMode } from "./kernel/ingress-mode.js";
import { type OpenedPath, openKernelPath } from "./kernel/open-kernel-path.js";
import { ListenerManager } from "./listeners/listener-manager.js";
import { WaitingClientsReporter } from "./listeners/waiting-clients.js";
import { PROBE_FLAG, probePrivileges } from "./probe-privileges.js";
import { type IngressProgram, spawnSuccessor } from "./spawn-ingress.js";
import { createNetTransport } from "./transport/net-transport.js";
import { openTransport } from "./transport/open-transport.js";
import type { Transport } from "./transport/transport.js";
import { HeldConnections } from "./vips/held-connections.js";
import { OriginalPorts } from "./vips/original-ports.js";
import { inheritedDnsSockets, ServiceDiscovery } from "./vips/service-discovery.js";
import { removeVips, VipBalancer } from "./vips/vip-balancer.js";

/** Delay before the process exits after a stop request, so that the reply reaches the agent. */
const STOP_DELAY_MS = 20;
/** Timeout for the data directory's lock. The predecessor releases it just before it sends its last message. */
const LOCK_TIMEOUT_MS = 3_000;
const LOCK_POLL_MS = 5;

interface Options {
  readonly dataDir: string;
  /** Path of the data directory as this process sees it. */
  readonly directory: string;
  readonly mode: IngressMode;
  readonly release: string;
  readonly transport: "raw" | "net";
  readonly isSuccessor: boolean;
}

/** The listeners and the DNS server: everything that a handover passes on. */
interface Services {
  readonly listeners: ListenerManager;
  readonly discovery: ServiceDiscovery;
  readonly waiting: WaitingClientsReporter;
}

/** The parts of the running process that control requests act on. */
interface IngressProcess extends Services {
  readonly options: Options;
  readonly log: Logger;
  readonly path: OpenedPath;
  /** The lock of the data directory. */
  readonly lock: ProcessLock;
  readonly manager: ServiceManager;
}

/**
 * The ingress process: `node entry.js --data-dir DIR`. Balances connections to published ports and answers the DNS
 * queries of containers. Keeps serving the last configuration when the agent is gone.
 */
async function main(log: Logger): Promise<void> {
  const options = parseOptions();
  const { dataDir, directory, mode } = options;
  const handover = options.isSuccessor ? await receiveHandover(log) : undefined;
  const transport = options.transport === "net" ? createNetTransport() : await openTransport(log);
  const services = createServices(log, transport, handover);
  if (handover !== undefined) await takeOver(services, handover);
  const lock = await acquireDataDirLock(directory, handover === undefined ? 0 : LOCK_TIMEOUT_MS);
  if (lock === undefined) {
    log.info({ dataDir }, "another ingress process serves this data directory; exiting");
    process.exit(0);
  }
  const path = await useKernel(services, { mode, log, handover });
  const manager = serviceManager({
    env: process.env,
    onFailure: (error) => log.warn({ err: error }, "cannot report to systemd"),
  });
  await serveControl({ ...services, options, log, path, lock, manager });
  log.info({ dataDir, transport: transport.name, path: path.current() }, "ingress process ready");
  await manager.ready();
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      "data-dir": { type: "string" },
      transport: { type: "string" },
      // Changes to the kernel need an explicit mode: only the agent knows that it may configure this host.
      mode: { type: "string", default: "userspace" },
      inherit: { type: "boolean", default: false },
      release: { type: "string", default: BERTH_VERSION },
    },
  });
  const { "data-dir": dataDir, transport, mode, inherit, release } = values;
  if (dataDir === undefined) throw new Error("--data-dir is required");
  if (!isIngressMode(mode)) throw new Error(`invalid --mode "${mode}"; use ${INGRESS_MODES.join(", ")}`);
  return {
    dataDir,
    mode,
    release,
    isSuccessor: inherit,
    // An unprivileged process may have no access to the parent directories of its data directory.
    directory: process.cwd() === dataDir ? "." : dataDir,
    transport: transport === "net" ? "net" : "raw",
  };
}

function createServices(log: Logger, transport: Transport, handover: Handover | undefined): Services {
  const listeners = new ListenerManager({
    transport,
    now: () => performance.now(),
    inherited: handover,
    onFdProblem: (problem) => log.warn(problem),
    onRetryFailed: (error) => log.warn({ err: error }, "cannot apply the published ports; retrying"),
    onHeldChange: () => waiting.onChange(),
  });
  const dnsSockets = handover === undefined ? new Map() : inheritedDnsSockets(handover);
  const discovery = new ServiceDiscovery(
    (isVipActive) => createDnsServer(log, isVipActive, dnsSockets),
    handover?.activeVips,
  );
  const waiting = new WaitingClientsReporter(() => [...listeners.heldClients(), ...discovery.heldClients()]);
  return { listeners, discovery, waiting };
}

/** Serves on the sockets of the predecessor. Returns when the predecessor has released everything else. */
async function takeOver({ listeners, discovery }: Services, handover: Handover): Promise<void> {
  await listeners.setSuspectNodes(handover.suspectNodeIds);
  await listeners.apply(handover.table);
  await discovery.inherit(handover);
  listeners.resumeWithFlows(await handover.reportPrepared());
  await handover.reportServing();
}

interface KernelOptions {
  readonly mode: IngressMode;
  readonly log: Logger;
  readonly handover: Handover | undefined;
}

/** Starts to balance in the kernel, if the mode allows it and no other ingress process of this host does. */
async function useKernel(
  { listeners, discovery }: Services,
  { mode, log, handover }: KernelOptions,
): Promise<OpenedPath> {
  // Set before the kernel's table is loaded: connections that it balances use these timeouts.
  if (mode !== "userspace") await raiseConntrackTimeouts(log);
  const path = await openKernelPath({ mode, log, removeVips });
  if (path.ownsTable) {
    const originalPorts = new OriginalPorts(new AbortController().signal);
    const heldConnections = await HeldConnections.open(listeners.tcpContext, originalPorts, log);
    const vips = new VipBalancer({ log, activeVips: handover?.activeVips, heldConnections });
    discovery.useKernel({ vips, firewall: new DnsFirewallRules() });
  } else {
    discovery.useKernel(undefined);
  }
  await listeners.useKernel(path.balancer);
  if (handover !== undefined) {
    // Ports whose sockets could not be transferred are now free.
    await listeners.apply(handover.table);
    void discovery.update(handover.dns);
  }
  return path;
}

/** Serves the agent's requests. Resolves when the control socket is open. */
async function serveControl(ingress: IngressProcess): Promise<void> {
  const { listeners, discovery, waiting, options, log, path, lock } = ingress;
  const socketPath = join(options.directory, SOCKET_NAME);
  const shutdown = new GracefulShutdown({
    log,
    listeners,
    discovery,
    path,
    releaseControl: () => {
      lock.release();
      control.closeConnections();
    },
  });
  const control: ControlServer = createControlServer({
    listeners,
    discovery,
    mode: options.mode,
    release: options.release,
    dataPath: () => path.current(),
    waitingClients: () => waiting.current(),
    onShutDown: () => {
      control.server.close();
      // Another process will start soon. The kernel keeps balancing until that process has its own listeners.
      return shutdown.begin("requested by agent", "restart");
    },
    onHandOver: createHandOver(ingress, shutdown, () => control.server.close()),
    onStop: () => stop(ingress, socketPath),
  });
  waiting.onReport = (report) => control.reportWaitingClients(report);
  // This process holds the lock, so an existing file belongs to a dead process.
  rmSync(socketPath, { force: true });
  process.umask(0o077);
  control.server.on("error", (error) => {
    log.error({ err: error, socketPath }, "cannot listen on control socket");
    process.exit(1);
  });
  await new Promise<void>((resolve) => {
    control.server.listen(socketPath, resolve);
  });
  // Closing the server here would delete the file at its path, which may belong to a successor.
  watchSocketFile(socketPath, () => void shutdown.begin("control socket is gone", "none"));
}

/** Returns the handler of handover requests, which starts a successor and leaves everything to it. */
function createHandOver(
  { options, manager, ...services }: IngressProcess,
  shutdown: GracefulShutdown,
  stopListening: () => void,
): (program: IngressProgram) => Promise<void> {
  let isHandingOver = false;
  return async (program) => {
    if (shutdown.hasBegun) throw new Error("ingress process is shutting down");
    // An agent that did not wait for the reply may repeat the request. Two successors would compete for clients.
    if (isHandingOver) throw new Error("handover already in progress");
    const successor = spawnSuccessor(options.dataDir, program);
    isHandingOver = true;
    try {
      await handOver(successor, createHandoverSource(services));
    } catch (error) {
      successor.kill("SIGKILL");
      throw error;
    } finally {
      isHandingOver = false;
    }
    stopListening();
    // systemd would end the successor with this process if it took this one for the main process of the unit.
    if (successor.pid !== undefined) await manager.replaceMainProcess(successor.pid);
    await shutdown.begin(`process ${successor.pid} took over`, "handover");
    releaseTo(successor);
    successor.unref();
  };
}

function createHandoverSource({ listeners, discovery }: Services): HandoverSource {
  return {
    state: () => {
      const [ports, dns] = [listeners.handoverState, discovery.handoverState];
      return { ...ports, ...dns, sockets: new Map([...ports.sockets, ...dns.sockets]) };
    },
    flows: () => listeners.flows(),
    pause: () => listeners.pause(),
    resume: () => listeners.resume(),
  };
}

/** Removes everything from the kernel and exits, which ends open connections. */
async function stop({ discovery, path, log }: IngressProcess, socketPath: string): Promise<void> {
  log.info("stop requested");
  rmSync(socketPath, { force: true });
  await discovery.close({ isLast: true });
  await path.close({ isLast: true });
  setTimeout(() => process.exit(0), STOP_DELAY_MS);
}

/** Takes the data directory's lock. Returns undefined if another process still holds it after the timeout. */
async function acquireDataDirLock(dataDir: string, timeoutMs: number): Promise<ProcessLock | undefined> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const lock = await lockDataDir(dataDir, "ingress");
    if (lock !== undefined || performance.now() >= endMs) return lock;
    await sleep(LOCK_POLL_MS);
  }
}

const log = createLogger("ingress");
for (const event of ["unhandledRejection", "uncaughtException"] as const) {
  process.on(event, (reason: unknown) => {
    log.fatal({ err: reason, event }, "ingress process failed");
    process.exit(1);
  });
}
// The agent's terminal may close; the ingress process outlives it.
process.on("SIGHUP", () => {});
// The agent probes whether a user can run this process: with all its modules, but without any effect.
if (process.argv[2] === PROBE_FLAG) process.exit(await probePrivileges());
await main(log);
