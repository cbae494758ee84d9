import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { pino } from "pino";
import { INGRESS_PATH } from "../../../deploy/lab/berth-commands.js";
import { formatListener } from "../../../packages/agent/src/dataplane/messages/listener-messages.js";
import type { KernelRoute } from "../../../packages/agent/src/dataplane/table/ingress-table.js";
import { openIngress } from "../../../packages/agent/src/dataplane-client/ingress-client.js";
import type { BenchNetwork } from "./bench-network.js";

const run = promisify(execFile);
const BACKEND_PORTS = [8001, 8002] as const;
export const HAPROXY_PORT = 9001;
export const BERTH_PORT = 9002;
export const NGINX_PORT = 9003;
export const BIG_PATH = "/big";
const BIG_BYTES = 1024 * 1024;
/** Path of nginx's stream module in Debian's libnginx-mod-stream. */
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";
const START_DEADLINE_MS = 10_000;
/**
 * Index of the user time among the fields of /proc/PID/stat. The system time follows. Both are in hundredths of a
 * second.
 */
const USER_TICKS_FIELD = 13;
const MS_PER_TICK = 10;

/** The targets to measure: berth on the kernel path and in user space, its peers, and the backend itself. */
export const TARGETS = ["kernel", "berth", "haproxy", "nginx", "direct"] as const;
export type Target = (typeof TARGETS)[number];

/** Starts and stops the programs of the benchmark. */
export class Programs {
  readonly #network: BenchNetwork;
  readonly #directory: string;
  readonly #children: ChildProcess[] = [];
  #haproxy: ChildProcess | undefined;
  #berth: ChildProcess | undefined;

  constructor(network: BenchNetwork, directory: string) {
    this.#network = network;
    this.#directory = directory;
  }

  /** Starts two HTTP backends with a small and a large reply: one nginx worker with two ports. */
  async startBackends(): Promise<void> {
    writeFileSync(join(this.#directory, BIG_PATH), Buffer.alloc(BIG_BYTES, "b"));
    const config = this.#write(
      "nginx.conf",
      `user root; daemon off; worker_processes 1; pid ${this.#directory}/nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; sendfile on;
  server {
    ${BACKEND_PORTS.map((port) => `listen ${port} backlog=4096;`).join(" ")}
    location ${BIG_PATH} { root ${this.#directory}; }
    location / { return 200 "berth\\n"; }
  }
}
`,
    );
    this.#start("backend", ["nginx", "-p", this.#directory, "-c", config]);
    await this.#waitForReply("backend", BACKEND_PORTS[0]);
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
    await this.#waitForReply("proxy", HAPROXY_PORT);
  }

  /** Starts nginx as a TCP proxy with one worker. */
  async startNginxStream(): Promise<void> {
    const backend = this.#network.address("backend", "proxy");
    const config = this.#write(
      "stream.conf",
      `load_module ${STREAM_MODULE};
daemon off; worker_processes 1; pid ${this.#directory}/stream.pid; error_log stderr crit;
events { worker_connections 8192; }
stream {
  upstream replicas { ${BACKEND_PORTS.map((port) => `server ${backend}:${port};`).join(" ")} }
  server { listen ${NGINX_PORT} backlog=4096; proxy_connect_timeout 1s; proxy_pass replicas; }
}
`,
    );
    this.#start("proxy", ["nginx", "-p", this.#directory, "-c", config]);
    await this.#waitForReply("proxy", NGINX_PORT);
  }

  /** Starts berth's ingress process as the agent does, and applies its table with the agent's client. */
  async startBerth(args: readonly string[], signal: AbortSignal): Promise<void> {
    this.#berth = await this.#startIngress("proxy", args, undefined, signal);
  }

  /** Starts an ingress process on the kernel path, on the router. */
  async startKernel(signal: AbortSignal): Promise<void> {
    await this.#startIngress("router", ["--mode", "kernel"], { kind: "forward" }, signal);
    await this.#waitForReply("router", BERTH_PORT);
  }

  async #startIngress(
    role: "proxy" | "router",
    args: readonly string[],
    route: KernelRoute | undefined,
    signal: AbortSignal,
  ): Promise<ChildProcess> {
    const dataDir = join(this.#directory, role);
    mkdirSync(dataDir);
    const child = this.#start(role, [process.execPath, INGRESS_PATH, "--data-dir", dataDir, ...args]);
    const address = this.#network.address("backend", role);
    const endpoints = BACKEND_PORTS.map((port) => {
      return { id: `task-${port}`, address, port, ...(route === undefined ? {} : { route }) };
    });
    const listener = { address: "", port: BERTH_PORT, service: "web", endpoints, draining: [] };
    await this.#untilReady(async () => {
      const ingress = await openIngress({
        dataDir,
        logger: pino({ level: "silent" }),
        signal,
        launch: false,
      });
      const table = { version: 1, listeners: [formatListener({ ...listener, protocol: "tcp" })] };
      const { errors } = await ingress.apply(table, signal);
      const { path } = await ingress.status(signal);
      ingress.close();
      if (errors[0] !== undefined) throw new Error(errors[0].message);
      if (path.kernel !== (route !== undefined))
        throw new Error(`the ingress process uses the wrong path: ${path.reason}`);
    });
    return child;
  }

  /** Returns the CPU time that a proxy's process has used, or 0 for targets without a single process. */
  cpuMs(target: Target): number {
    const processes: Partial<Record<Target, ChildProcess | undefined>> = {
      berth: this.#berth,
      haproxy: this.#haproxy,
    };
    const child = processes[target];
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

  /** Starts a program on a host. `ip netns exec` becomes the program, so the child's PID is the program's. */
  #start(role: "proxy" | "router" | "backend", argv: readonly string[]): ChildProcess {
    const [program = "", ...args] = [...this.#network.enter(role), ...argv];
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    this.#children.push(child);
    return child;
  }

  #write(name: string, text: string): string {
    const path = join(this.#directory, name);
    writeFileSync(path, text);
    return path;
  }

  async #waitForReply(role: "proxy" | "router" | "backend", port: number): Promise<void> {
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
