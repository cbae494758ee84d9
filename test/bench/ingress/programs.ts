import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { pino } from "pino";
import { openIngress } from "../../../packages/agent/src/ingress/client.js";
import type { BenchNetwork } from "./network.js";

const run = promisify(execFile);
const BACKEND_PORTS = [8001, 8002] as const;
export const HAPROXY_PORT = 9001;
export const BERTH_PORT = 9002;
const START_DEADLINE_MS = 10_000;
/** In /proc/PID/stat, split at spaces: user time, then system time, in hundredths of a second. */
const USER_TICKS_FIELD = 13;
const MS_PER_TICK = 10;

/** What runs during the benchmark; `stop` ends it all. */
export class Programs {
  readonly #network: BenchNetwork;
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];
  #haproxy: ChildProcess | undefined;
  #berth: ChildProcess | undefined;

  constructor(network: BenchNetwork, folder: string) {
    this.#network = network;
    this.#folder = folder;
  }

  /** Two small HTTP backends: one nginx worker, two ports. */
  async startBackends(): Promise<void> {
    const config = this.#write(
      "nginx.conf",
      `daemon off; worker_processes 1; pid ${this.#folder}/nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000;
  server { ${BACKEND_PORTS.map((port) => `listen ${port} backlog=4096;`).join(" ")} location / { return 200 "berth\\n"; } }
}
`,
    );
    this.#start("backend", ["nginx", "-p", this.#folder, "-c", config]);
    await this.#answers("backend", BACKEND_PORTS[0]);
  }

  async startHaproxy(): Promise<void> {
    const backend = this.#network.address("backend", "proxy");
    const config = this.#write(
      "haproxy.cfg",
      `global
  nbthread 1
  maxconn 8000
defaults
  mode tcp
  timeout connect 1s
  timeout client 60s
  timeout server 60s
frontend published
  bind :${HAPROXY_PORT} backlog 4096
  default_backend replicas
backend replicas
  balance roundrobin
${BACKEND_PORTS.map((port) => `  server s${port} ${backend}:${port}`).join("\n")}
`,
    );
    this.#haproxy = this.#start("proxy", ["haproxy", "-db", "-f", config]);
    await this.#answers("proxy", HAPROXY_PORT);
  }

  /** berth's own process, as the agent would start it, told its table through the same client. */
  async startBerth(args: readonly string[], signal: AbortSignal): Promise<void> {
    const entry = fileURLToPath(new URL("../../../packages/agent/dist/ingress/entry.js", import.meta.url));
    this.#berth = this.#start("proxy", [process.execPath, entry, "--data-dir", this.#folder, ...args]);
    await this.#untilReady(async () => {
      const ingress = await openIngress({
        dataDir: this.#folder,
        logger: pino({ level: "silent" }),
        signal,
        launch: false,
      });
      const address = this.#network.address("backend", "proxy");
      const endpoints = BACKEND_PORTS.map((port) => ({ id: `task-${port}`, address, port }));
      const listener = {
        protocol: "tcp",
        address: "",
        port: BERTH_PORT,
        service: "web",
        endpoints,
        draining: [],
      } as const;
      const { errors } = await ingress.apply({ version: 1, listeners: [listener] }, signal);
      ingress.close();
      if (errors[0] !== undefined) throw new Error(errors[0].message);
    });
  }

  /** CPU time that a proxy's process has used until now. `direct` has no proxy. */
  cpuMs(target: "berth" | "haproxy" | "direct"): number {
    const child = { berth: this.#berth, haproxy: this.#haproxy, direct: undefined }[target];
    if (child?.pid === undefined) return 0;
    const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(" ");
    return (Number(fields[USER_TICKS_FIELD]) + Number(fields[USER_TICKS_FIELD + 1])) * MS_PER_TICK;
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill("SIGTERM");
        await once(child, "exit");
      }),
    );
  }

  /** `ip netns exec` becomes the program: the child's pid is the program's. */
  #start(role: "proxy" | "backend", argv: readonly string[]): ChildProcess {
    const [program = "", ...args] = [...this.#network.enter(role), ...argv];
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    this.#children.push(child);
    return child;
  }

  #write(name: string, text: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, text);
    return path;
  }

  async #answers(role: "proxy" | "backend", port: number): Promise<void> {
    const [program = "", ...args] = this.#network.enter("client");
    const url = `http://${this.#network.address(role, "client")}:${port}/`;
    await this.#untilReady(async () => void (await run(program, [...args, "wrk", "-t1", "-c1", "-d1", url])));
  }

  async #untilReady(attempt: () => Promise<void>): Promise<void> {
    const deadlineMs = Date.now() + START_DEADLINE_MS;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (Date.now() > deadlineMs) throw error;
        await sleep(100);
      }
    }
  }
}
