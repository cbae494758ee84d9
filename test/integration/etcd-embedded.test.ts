import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IdentityDirectory } from "@berth/proto/identity";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { scaleTimeout } from "../../deploy/lab/wait-until.js";
import { certificateAddresses } from "../../packages/control-plane/src/store/embedded/cluster.js";
import {
  type EmbeddedEtcd,
  type EmbeddedEtcdOptions,
  startEmbeddedEtcd,
} from "../../packages/control-plane/src/store/embedded/embedded-etcd.js";
import { findProgram } from "../../packages/control-plane/src/store/embedded/find-program.js";
import { isRunning } from "../../packages/control-plane/src/store/embedded/process-identity.js";
import { EtcdStore } from "../../packages/control-plane/src/store/etcd/etcd-store.js";
import type { EtcdTls } from "../../packages/control-plane/src/store/etcd-tls.js";
import { readOne } from "../../packages/control-plane/src/store/read.js";
import { EtcdAuthority } from "../../packages/control-plane/src/testing/etcd-authority.js";
import { eventuallyPasses } from "../harness/eventually.js";

const KEY = "/berth/v1/meta/schema";
const EXIT_TIMEOUT_MS = scaleTimeout(20_000);
const logger = pino({ level: "silent" });
const signal = new AbortController().signal;

let directory: string;
/** An address of this process for members with fixed ports. */
let address: string;
let identity: IdentityDirectory;
let tls: EtcdTls;
let cleanups: (() => unknown)[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "berth-embedded-"));
  cleanups = [() => rmSync(directory, { recursive: true, force: true })];
  address = `127.58.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`;
  identity = await IdentityDirectory.open(join(directory, "identity"));
  const authority = await EtcdAuthority.create();
  tls = await authority.issueTo(identity, { id: "s1", addresses: certificateAddresses(address) });
});
afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

const start = async (options: Partial<EmbeddedEtcdOptions> = {}): Promise<EmbeddedEtcd> => {
  const required = { dataDir: join(directory, "data"), tls: identity.paths, logger };
  const etcd = await startEmbeddedEtcd({ ...required, ...options }, signal);
  cleanups.push(() => etcd.stop());
  return etcd;
};
const storeOn = ({ endpoint }: Pick<EmbeddedEtcd, "endpoint">): EtcdStore => {
  const store = new EtcdStore({ endpoints: [endpoint], tls });
  cleanups.push(() => store.close());
  return store;
};
const claim = (): { etcd: { pid: number; startTicks: string; bootId: string } } =>
  JSON.parse(readFileSync(join(directory, "data", "berth-server.json"), "utf8"));
const write = async (store: EtcdStore, value: string): Promise<void> => {
  expect(await store.txn({ ops: [{ kind: "put", key: KEY, value }] }, signal)).toMatchObject({
    kind: "committed",
  });
};

describe("startEmbeddedEtcd", () => {
  it("listens on loopback, exits on stop and uses the same ports when it starts again", async () => {
    const etcd = await start();
    expect(etcd.endpoint).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    await write(storeOn(etcd), "1");
    const { etcd: process } = claim();
    expect(isRunning(process)).toBe(true);
    await etcd.stop();
    await etcd.exited;
    expect(isRunning(process)).toBe(false);
    expect((await start()).endpoint).toBe(etcd.endpoint);
  });

  it("restarts etcd after kill -9 on the same ports with its data", async () => {
    const etcd = await start();
    const store = storeOn(etcd);
    for (const round of ["1", "2", "3"]) {
      await write(store, round);
      const killed = claim().etcd;
      process.kill(killed.pid, "SIGKILL");
      await eventuallyPasses(async () => expect((await readOne(store, KEY, signal))?.value).toBe(round));
      expect(claim().etcd.pid).not.toBe(killed.pid);
    }
  });

  it("refuses the data directory of a running server", async () => {
    await start();
    await expect(start()).rejects.toMatchObject({ code: "BERTH_ETCD_DATA_LOCKED" });
  });

  it("explains how to install etcd when it is missing", async () => {
    await expect(start({ program: "no-such-etcd" })).rejects.toMatchObject({
      code: "BERTH_ETCD_MISSING",
      message: expect.stringContaining("apt-get install etcd-server"),
    });
    expect(existsSync(join(directory, "data"))).toBe(false);
  });

  it("fails when another etcd uses its port and unlocks its data directory", async () => {
    const member = { address, requests: undefined };
    await start({ dataDir: join(directory, "other"), member });
    await expect(start({ member })).rejects.toMatchObject({ code: "BERTH_ADDRESS_IN_USE" });
    await start();
  });

  it("does not restart etcd when another process has taken its port", async () => {
    const program = join(directory, "etcd-and-squatter");
    const squatter = join(directory, "squatter.mjs");
    // Runs etcd. Once etcd has been killed, another process listens on its port before the server notices.
    writeFileSync(
      squatter,
      `import { appendFileSync, writeFileSync } from "node:fs";
       import { createServer } from "node:net";
       const port = Number(/--listen-client-urls \\S+:(\\d+)/.exec(process.argv.slice(2).join(" "))[1]);
       createServer(() => appendFileSync("${directory}/connections", "1"))
         .listen(port, "127.0.0.1", () => writeFileSync("${directory}/squatter-pid", String(process.pid)));`,
    );
    const script = `#!/bin/sh
      etcd "$@" & echo $! >${directory}/etcd-pid; trap "kill -9 $!" TERM; wait $!
      ${process.execPath} ${squatter} "$@" >/dev/null 2>&1 &
      while [ ! -s ${directory}/squatter-pid ]; do sleep 0.02; done`;
    writeFileSync(program, script, { mode: 0o755 });
    const etcd = await start({ program });
    cleanups.push(() =>
      process.kill(Number(readFileSync(join(directory, "squatter-pid"), "utf8")), "SIGKILL"),
    );
    process.kill(Number(readFileSync(join(directory, "etcd-pid"), "utf8")), "SIGKILL");
    const timeout = new Promise((resolve) =>
      setTimeout(resolve, EXIT_TIMEOUT_MS, "still restarting").unref(),
    );
    expect(await Promise.race([etcd.exited, timeout])).toMatchObject({
      code: "BERTH_ADDRESS_IN_USE",
      message: expect.stringMatching(/port \d+ or \d+ is in use; stop the process that listens on it/),
    });
    expect(existsSync(join(directory, "connections"))).toBe(false);
  });

  it("ends a requested restart with an error when another process holds its port", async () => {
    const program = join(directory, "etcd-that-stays");
    const pidFile = join(directory, "etcd-pid");
    // The server kills this script, and etcd keeps its port.
    const script = `#!/bin/sh
      etcd "$@" >/dev/null 2>&1 & echo $! >${pidFile}; wait $!`;
    writeFileSync(program, script, { mode: 0o755 });
    const etcd = await start({ program });
    cleanups.push(() => process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL"));
    const restarted = etcd.restart(AbortSignal.timeout(scaleTimeout(30_000)));
    await expect(restarted).rejects.toMatchObject({ code: "BERTH_ADDRESS_IN_USE" });
    expect(await etcd.exited).toMatchObject({ code: "BERTH_ADDRESS_IN_USE" });
  });

  it("reports why etcd did not start", async () => {
    const wal = join(directory, "data", "member", "wal");
    mkdirSync(wal, { recursive: true });
    writeFileSync(join(wal, "0000000000000000-0000000000000000.wal"), "not a WAL file");
    await expect(start()).rejects.toMatchObject({
      code: "BERTH_ETCD_FAILED",
      message: expect.stringMatching(/wal/),
    });
  });

  it("starts with its data after kill -9 of its server, whether or not etcd survived", async () => {
    const dataDir = join(directory, "data");
    for (const env of [{}, { PATH: withoutSetpriv() }]) {
      const server = startInChild(dataDir, env);
      const [line] = await once(server.stdout ?? process.stdin, "data");
      await write(storeOn({ endpoint: String(line).trim() }), "before");
      server.kill("SIGKILL");
      await once(server, "exit");

      const leftover = claim().etcd;
      const next = await start();
      expect(isRunning(leftover)).toBe(false);
      expect((await readOne(storeOn(next), KEY, signal))?.value).toBe("before");
      await next.stop();
    }
  });
});

/** Returns a PATH with etcd and without setpriv. Without it, etcd outlives a killed server. */
function withoutSetpriv(): string {
  const programs = mkdtempSync(join(directory, "bin-"));
  symlinkSync(findProgram("etcd") ?? "", join(programs, "etcd"));
  return programs;
}

/** Starts a process that runs an embedded etcd and prints its endpoint. */
function startInChild(dataDir: string, env: NodeJS.ProcessEnv): ChildProcess {
  const module = new URL(
    "../../packages/control-plane/dist/store/embedded/embedded-etcd.js",
    import.meta.url,
  );
  const program = `
    const { startEmbeddedEtcd } = await import(${JSON.stringify(module.href)});
    const logger = { warn() {}, error() {} };
    const options = { ...${JSON.stringify({ dataDir, tls: identity.paths })}, logger };
    const etcd = await startEmbeddedEtcd(options, new AbortController().signal);
    console.log(etcd.endpoint);
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  cleanups.push(() => child.kill("SIGKILL"));
  return child;
}
