import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { INGRESS_PATH } from "../../deploy/lab/berth-commands.js";
import { SOCKET_NAME } from "../../packages/agent/src/dataplane/control/protocol.js";
import { computeFdBudget } from "../../packages/agent/src/dataplane/listeners/fd-limits.js";
import { eventuallyPasses } from "../harness/eventually.js";
import { reserveTcpPort } from "../harness/reserved-ports.js";
import {
  Cleanup,
  deadline,
  directoryFor,
  openClient,
  openTestIngress,
  startBackend,
  tcpListener,
} from "./ingress-harness.js";

const FILES = 128;
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Starts an ingress process with a low limit of open files and one port to an echo server. */
async function startLimited(transport: string) {
  const dataDir = directoryFor(cleanup);
  const command = `ulimit -n ${FILES}; exec "$@"`;
  const args = [process.execPath, INGRESS_PATH, "--data-dir", dataDir, "--transport", transport];
  const child = spawn("sh", ["-c", command, "sh", ...args], { stdio: ["ignore", "pipe", "inherit"] });
  cleanup.add(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  let logged = "";
  child.stdout.on("data", (text) => {
    logged += text;
  });
  while (!existsSync(join(dataDir, SOCKET_NAME))) await sleep(10);
  const ingress = await openTestIngress({ dataDir, launch: false });
  cleanup.add(() => ingress.close());
  const port = reserveTcpPort();
  const echo = await startBackend(cleanup, "echo", (socket) => socket.pipe(socket));
  await ingress.apply({ version: 1, listeners: [tcpListener(port, [echo])] }, deadline());
  const warnings = (): readonly string[] =>
    logged.split("\n").filter((line) => line.includes('"level":40') && line.includes("LimitNOFILE"));
  return { child, ingress, port, warnings };
}

/** Opens a client and waits for its first answer. */
async function served(port: number): Promise<ReturnType<typeof openClient>> {
  const client = openClient(cleanup, port);
  client.socket.write("x");
  await eventuallyPasses(() => expect(client.read()).toBe("x"));
  return client;
}

describe.each(["raw", "net"])(
  "the ingress at its limit of open files, over the %s transport",
  (transport) => {
    it("queues some connections, refuses the rest, warns once and recovers", async () => {
      const { child, ingress, port, warnings } = await startLimited(transport);
      const { connections, waiting } = computeFdBudget(FILES, 1);
      expect(connections).toBeGreaterThan(20);
      const held = await Promise.all(Array.from({ length: connections }, () => served(port)));
      const late = Array.from({ length: waiting }, () => openClient(cleanup, port));
      for (const { socket } of late) socket.write("late");
      await eventuallyPasses(async () => {
        const [listener] = (await ingress.stats(deadline())).listeners;
        expect(listener?.active).toBe(connections + waiting);
      });
      expect(await openClient(cleanup, port).closed).toBe("ECONNRESET");
      held[0]?.socket.end();
      await eventuallyPasses(() => expect(late[0]?.read()).toBe("late"));
      expect(await Promise.all(late.slice(1).map(({ closed }) => closed))).toEqual(
        late.slice(1).map(() => "ECONNRESET"),
      );
      expect((await ingress.status(deadline())).fdProblem).toMatch(
        new RegExp(`${connections} open connections, .* limit of ${FILES} open files.*LimitNOFILE`),
      );
      expect(warnings()).toHaveLength(1);
      for (const { socket } of [...held, ...late]) socket.destroy();
      await eventuallyPasses(async () => {
        expect((await ingress.stats(deadline())).listeners[0]?.active).toBe(0);
      });
      await served(port);
      expect((await ingress.stats(deadline())).acceptErrors).toBe(0);
      expect(child.exitCode).toBeNull();
    });

    it("keeps existing connections while no descriptor is free and accepts new ones afterwards", async () => {
      const { child, port } = await startLimited(transport);
      const client = await served(port);
      const limit = (files: number): unknown =>
        execFileSync("prlimit", ["--pid", String(child.pid), `--nofile=${files}:${FILES}`]);
      limit(10);
      const failing = openClient(cleanup, port);
      failing.socket.write("z");
      client.socket.write("y");
      await eventuallyPasses(() => expect(client.read()).toBe("xy"));
      await sleep(200);
      expect(failing.read()).toBe("");
      limit(FILES);
      await served(port);
      expect(child.exitCode).toBeNull();
    });
  },
);
