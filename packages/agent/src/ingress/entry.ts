import { rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { lockDataDir } from "../lock-data-dir.js";
import { createControlServer } from "./control-server.js";
import { Gateway } from "./gateway.js";
import { createNetTransport } from "./net-transport.js";
import { createRawTransport } from "./raw-transport.js";
import { watchSocket } from "./socket-watch.js";
import { SOCKET_NAME } from "./wire.js";

/** How long a retired process may wait for its connections to end. */
const MAX_RETIREMENT_MS = 60 * 60 * 1_000;
const RETIREMENT_CHECK_MS = 250;
/** Time for the answer to an order to stop to leave. */
const STOP_DELAY_MS = 20;

/** The ingress process: `node entry.js --data-dir DIR`. Serves the last table it was given, with an agent or without. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { "data-dir": { type: "string" }, transport: { type: "string" } },
  });
  const dataDir = values["data-dir"];
  const log = pino({ name: "ingress" });
  if (dataDir === undefined) throw new Error("--data-dir is missing: the directory for the control socket");
  const lock = await lockDataDir(dataDir, "ingress");
  if (lock === undefined) {
    log.info({ dataDir }, "another ingress process serves this data directory: leaving");
    return;
  }

  const raw = values.transport === "net" ? undefined : createRawTransport();
  const gateway = new Gateway(raw ?? createNetTransport(), () => performance.now());
  const socketPath = join(dataDir, SOCKET_NAME);
  let isRetired = false;
  const retire = (reason: string): void => {
    if (isRetired) return;
    isRetired = true;
    log.info(
      { reason, connections: gateway.active },
      "retired: no new connections, leaving when the last one ends",
    );
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
    onRetire: () => {
      control.server.close();
      retire("told to");
    },
    onStop: () => {
      log.info("told to stop");
      rmSync(socketPath, { force: true });
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
    watchSocket(socketPath, () => retire("its control socket is gone"));
    log.info({ socketPath, transport: raw === undefined ? "net" : "raw" }, "ingress is ready");
  });
}

process.on("SIGHUP", () => {});
await main();
