import { rmSync } from "node:fs";
import type { Server } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { BERTH_VERSION } from "@berth/proto";
import { pino } from "pino";
import { lockDataDir } from "../runtime/lock-data-dir.js";
import { runProgram } from "../runtime/run-program.js";
import { createControlServer } from "./control/control-server.js";
import { watchSocket } from "./control/socket-watch.js";
import { SOCKET_NAME } from "./control/wire.js";
import { DnsFirewallRules } from "./dns/firewall-rules.js";
import { createDnsServer } from "./dns/open-name-server.js";
import { type HandoverSource, handOver, leaveTo } from "./handover/source.js";
import { receiveHandover } from "./handover/successor.js";
import { raiseConntrackTimeouts } from "./kernel/conntrack-timeouts.js";
import { INGRESS_MODES, isIngressMode } from "./kernel/ingress-mode.js";
import { openKernelPath } from "./kernel/open-kernel-path.js";
import { LateFastPath } from "./late-fast-path.js";
import { Gateway } from "./listeners/gateway.js";
import { GracefulShutdown } from "./shutdown.js";
import { spawnIngressProcess } from "./spawn.js";
import { createNetTransport } from "./transport/net-transport.js";
import { createRawTransport } from "./transport/raw-transport.js";
import { inheritedNames, ServiceDiscovery } from "./vips/service-discovery.js";
import { VipBalancer } from "./vips/vip-balancer.js";

/** Time for the answer to an order to stop to leave. */
const STOP_DELAY_MS = 20;
const LOCK_DEADLINE_MS = 3_000;
const LOCK_POLL_MS = 5;

/** The ingress process: `node entry.js --data-dir DIR`. Serves the last table it was given, with an agent or without. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      "data-dir": { type: "string" },
      transport: { type: "string" },
      // Not auto: only an agent knows that this host is its to change.
      mode: { type: "string", default: "userspace" },
      // Who starts this process gives it its listening sockets.
      inherit: { type: "boolean", default: false },
      release: { type: "string", default: BERTH_VERSION },
    },
  });
  const dataDir = values["data-dir"];
  const log = pino({ name: "ingress" });
  if (dataDir === undefined) throw new Error("--data-dir is missing: the directory for the control socket");
  if (!isIngressMode(values.mode)) throw new Error(`--mode is none of ${INGRESS_MODES.join(", ")}`);
  const raw = values.transport === "net" ? undefined : createRawTransport();
  const transport = raw ?? createNetTransport();
  const late = new LateFastPath();
  const now = (): number => performance.now();
  const { mode } = values;
  const inheritance = values.inherit ? await receiveHandover() : undefined;
  const gateway = new Gateway({
    transport,
    now,
    fastPath: late,
    inherited: inheritance,
    onShortage: (problem) => log.warn(problem),
  });
  const vips = mode === "userspace" ? undefined : new VipBalancer(log, runProgram, inheritance?.activeVips);
  const nameServer = createDnsServer(
    log,
    (vip) => vips?.isActive(vip) ?? false,
    inheritance === undefined ? new Map() : inheritedNames(inheritance),
  );
  const names = new ServiceDiscovery(
    nameServer,
    vips,
    mode === "userspace" ? undefined : new DnsFirewallRules(),
  );
  if (inheritance !== undefined) {
    await gateway.suspect(inheritance.suspects);
    await gateway.apply(inheritance.table);
    await names.inherit(inheritance);
    gateway.resumeWith(await inheritance.prepared());
    await inheritance.serve();
  }
  const lock = await lockSoon(dataDir, inheritance === undefined ? 0 : LOCK_DEADLINE_MS);
  if (lock === undefined) {
    log.info({ dataDir }, "another ingress process serves this data directory: leaving");
    process.exit(0);
  }
  // What the kernel balances goes by it as well, from when its table is loaded.
  if (mode !== "userspace") await raiseConntrackTimeouts(log);
  const path = await openKernelPath(mode, log);
  await late.open(path.fastPath);
  if (inheritance !== undefined) {
    // Ports whose sockets could not be passed are free now.
    await gateway.apply(inheritance.table);
    void names.update(inheritance.names);
  }
  const socketPath = join(dataDir, SOCKET_NAME);
  const retirement = new GracefulShutdown({
    ...{ log, gateway, names, path },
    release: () => {
      lock.close();
      control.dismissClients();
    },
  });
  let isHandingOver = false;
  const control = createControlServer({
    gateway,
    names,
    mode,
    release: values.release,
    path: () => path.inUse(),
    onRetire: () => {
      control.server.close();
      // A successor is about to start: until it has listeners of its own, the kernel goes on as it is.
      return retirement.begin("told to", "followed");
    },
    onHandOver: async (program) => {
      if (retirement.hasBegun) throw new Error("it has been retired");
      // One who did not wait for the answer, and asks again: two heirs would take clients from each other.
      if (isHandingOver) throw new Error("it is handing over already");
      const heir = spawnIngressProcess(dataDir, program, "heir");
      isHandingOver = true;
      try {
        await handOver(heir, giverOf(gateway, names));
      } catch (error) {
        heir.kill("SIGKILL");
        throw error;
      } finally {
        isHandingOver = false;
      }
      control.server.close();
      await retirement.begin(`process ${heir.pid} serves now`, "inherited");
      leaveTo(heir);
      heir.unref();
    },
    onStop: async () => {
      log.info("told to stop");
      rmSync(socketPath, { force: true });
      await names.close({ isLast: true });
      await path.close({ isLast: true });
      setTimeout(() => process.exit(0), STOP_DELAY_MS);
    },
  });
  // We hold the lock, so a socket file that is there was left by a process that died.
  rmSync(socketPath, { force: true });
  process.umask(0o077);
  control.server.on("error", (error) => {
    log.error({ err: error, socketPath }, "cannot listen for the agent");
    process.exit(1);
  });
  control.server.listen(socketPath, () => {
    // The server stays open then: to close it would delete the file at its path, which may be a successor's.
    watchSocket(socketPath, () => void retirement.begin("its control socket is gone", "last"));
    const over = raw === undefined ? "net" : "raw";
    log.info({ socketPath, transport: over, path: path.inUse() }, "ingress is ready");
  });
}

function giverOf(gateway: Gateway, names: ServiceDiscovery): HandoverSource {
  return {
    estate: () => {
      const [ports, named] = [gateway.handoverState, names.estate];
      return { ...ports, ...named, sockets: new Map([...ports.sockets, ...named.sockets]) };
    },
    flows: () => gateway.flows(),
    pause: () => gateway.pause(),
    resume: () => gateway.resume(),
  };
}

/** Who hands over has given up the lock a moment ago. */
async function lockSoon(dataDir: string, deadlineMs: number): Promise<Server | undefined> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const lock = await lockDataDir(dataDir, "ingress");
    if (lock !== undefined || performance.now() >= endMs) return lock;
    await sleep(LOCK_POLL_MS);
  }
}

process.on("SIGHUP", () => {});
await main();
