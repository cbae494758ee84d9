import { rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { openNameServer } from "../dns/open-name-server.js";
import { lockDataDir } from "../lock-data-dir.js";
import { createControlServer } from "./control-server.js";
import { Gateway } from "./gateway.js";
import { INGRESS_MODES, isIngressMode } from "./kernel/mode.js";
import { openKernelPath } from "./kernel/open-kernel-path.js";
import { NamesService } from "./names-service.js";
import { createNetTransport } from "./net-transport.js";
import { createRawTransport } from "./raw-transport.js";
import { watchSocket } from "./socket-watch.js";
import { VipBalancer } from "./vips/vip-balancer.js";
import { SOCKET_NAME } from "./wire.js";

/** How long a retired process may wait for its connections to end. */
const MAX_RETIREMENT_MS = 60 * 60 * 1_000;
const RETIREMENT_CHECK_MS = 250;
/** Time for the answer to an order to stop to leave. */
const STOP_DELAY_MS = 20;

/** The ingress process: `node entry.js --data-dir DIR`. Serves the last table it was given, with an agent or without. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      "data-dir": { type: "string" },
      transport: { type: "string" },
      // Not auto: only an agent knows that this host is its to change.
      mode: { type: "string", default: "userspace" },
    },
  });
  const dataDir = values["data-dir"];
  const log = pino({ name: "ingress" });
  if (dataDir === undefined) throw new Error("--data-dir is missing: the directory for the control socket");
  if (!isIngressMode(values.mode)) throw new Error(`--mode is none of ${INGRESS_MODES.join(", ")}`);
  const lock = await lockDataDir(dataDir, "ingress");
  if (lock === undefined) {
    log.info({ dataDir }, "another ingress process serves this data directory: leaving");
    return;
  }

  const raw = values.transport === "net" ? undefined : createRawTransport();
  const { mode } = values;
  const path = await openKernelPath(mode, log);
  const gateway = new Gateway(raw ?? createNetTransport(), () => performance.now(), path.fastPath);
  const vips = values.mode === "userspace" ? undefined : new VipBalancer(log);
  const nameServer = openNameServer(log, (vip) => vips?.isInForce(vip) ?? false);
  const names = new NamesService(nameServer, vips);
  const socketPath = join(dataDir, SOCKET_NAME);
  let isRetired = false;
  const retire = async (reason: string, isLast: boolean): Promise<void> => {
    if (isRetired) return;
    isRetired = true;
    log.info(
      { reason, connections: gateway.active },
      "retired: no new connections, leaving when the last one ends",
    );
    // Its addresses are for the successor to answer at.
    await names.close({ isLast });
    await path.close({ isLast });
    lock.close();
    control.dismissClients();
    void gateway.apply({ version: gateway.version, listeners: [] });
    const startedMs = performance.now();
    setInterval(() => {
      const isOverdue = performance.now() - startedMs > MAX_RETIREMENT_MS;
      if (gateway.active === 0 || isOverdue) process.exit(0);
    }, RETIREMENT_CHECK_MS);
  };
  const control = createControlServer({
    gateway,
    names,
    mode,
    path: () => path.inUse(),
    onRetire: () => {
      control.server.close();
      // A successor is about to start: until it has listeners of its own, the kernel goes on as it is.
      return retire("told to", false);
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
    watchSocket(socketPath, () => void retire("its control socket is gone", true));
    const transport = raw === undefined ? "net" : "raw";
    log.info({ socketPath, transport, path: path.inUse() }, "ingress is ready");
  });
}

process.on("SIGHUP", () => {});
await main();
