import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ControlServiceService } from "@berth/proto";
import { createRpcClient } from "@berth/proto/rpc";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { type ServerProcess, startServerProcess } from "../harness/server-process.js";
import { deployment, service } from "../harness/test-cluster.js";

const PROGRAM = fileURLToPath(new URL("../harness/server-process.mjs", import.meta.url));

const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function dataDir(): string {
  const directory = mkdtempSync(join(tmpdir(), "berth-test-server-"));
  cleanUps.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function start(args: readonly string[]): Promise<ServerProcess> {
  const server = await startServerProcess(args);
  cleanUps.push(() => stop(server));
  return server;
}

/** Sends SIGTERM, on which the server stops its embedded etcd as well. Returns the exit code. */
async function stop({ process: child }: ServerProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  }
  return child.exitCode;
}

async function run(
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly stderr: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  await once(child, "close");
  return { code: child.exitCode, stderr };
}

describe("berth server", () => {
  it("keeps all records in its embedded etcd when it restarts after SIGTERM or SIGKILL", async () => {
    const args = ["--data-dir", dataDir()];
    const first = await start(args);
    const client = createRpcClient(ControlServiceService, { socket: first.socket });
    cleanUps.push(client.close);
    await client.calls.deployStack(deployment([service("web", { replicas: 2 })]));
    expect(await stop(first)).toBe(0);

    for (const end of ["kill", "stop"] as const) {
      const next = await start(args);
      const again = createRpcClient(ControlServiceService, { socket: next.socket });
      const summaries = await eventually("the server leads", async () => {
        const { services } = await again.calls.listServices({ stack: "shop" });
        return services;
      });
      expect(summaries.map(({ service: one }) => one?.spec?.name)).toEqual(["shop_web"]);
      again.close();
      if (end === "kill") await next.kill();
    }
  });

  it("reports all invalid flags at once and exits with status 2", async () => {
    const { code, stderr } = await run(["--listen", "nowhere", "--log-level", "loud"]);
    expect(code).toBe(2);
    expect(stderr).toContain("--listen");
    expect(stderr).toContain("--log-level");
  });

  it.each(["--listen", "--http"])(
    "exits with status 1 and names the address when the address of %s is in use",
    async (flag) => {
      const taken = createServer().listen(0, "127.0.0.1");
      await once(taken, "listening");
      cleanUps.push(() => {
        taken.close();
      });
      const bound = taken.address();
      const address = `127.0.0.1:${typeof bound === "object" ? bound?.port : 0}`;
      const other = flag === "--listen" ? "--http" : "--listen";
      const directory = dataDir();
      const paths = ["--data-dir", directory, "--socket", join(directory, "server.sock")];
      const { code, stderr } = await run([flag, address, other, "127.0.0.1:0", ...paths]);
      expect(code).toBe(1);
      expect(stderr).toContain(address);
    },
  );
});
