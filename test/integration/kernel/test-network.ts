import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("./host-program.mjs", import.meta.url));
const PREFIX = "berth-k-";
const NAMESPACE_PATTERN = new RegExp(`^${PREFIX}(\\d+)-`);

/** A client and three hosts on one LAN. The containers are on a bridge of host "a", like Docker's. */
export const ADDRESS = {
  client: "10.77.0.9",
  a: "10.77.0.1",
  b: "10.77.0.2",
  c: "10.77.0.3",
  c1: "172.30.0.2",
  c2: "172.30.0.3",
} as const;
export type NamespaceName = keyof typeof ADDRESS;
export const SUBNET = "172.30.0.0/16";

const HOSTS = ["client", "a", "b", "c"] as const;
const CONTAINERS = ["c1", "c2"] as const;

export interface Answer {
  /** `NAMESPACE_PATTERN CLIENT`, or the error's code, or TIMEOUT. */
  readonly text: string;
  readonly ms: number;
}

/** Network namespaces, each with a host program. `dispose` removes them, or the next test run if this one is killed. */
export class TestNetwork {
  readonly #tag = `${PREFIX}${process.pid}-${randomBytes(3).toString("hex")}`;
  readonly #programs = new Map<NamespaceName, HostProgram>();

  static async create(): Promise<TestNetwork> {
    removeLeftoverNamespaces();
    const network = new TestNetwork();
    try {
      network.#build();
      await network.#startPrograms();
    } catch (error) {
      await network.dispose();
      throw error;
    }
    return network;
  }

  namespace(place: NamespaceName | "lan"): string {
    return `${this.#tag}-${place}`;
  }

  /** Runs a program in a namespace and returns its output. Throws when it fails. */
  run(place: NamespaceName, ...argv: readonly string[]): string {
    return run("ip", "netns", "exec", this.namespace(place), ...argv);
  }

  /** Applies an nft script on host "a". */
  nft(script: string): void {
    execFileSync("ip", ["netns", "exec", this.namespace("a"), "nft", "-f", "-"], { input: script });
  }

  call<Reply>(place: NamespaceName, command: string, options: object = {}): Promise<Reply> {
    const program = this.#programs.get(place);
    if (program === undefined) throw new Error(`no program runs in ${place}`);
    return program.call<Reply>({ command, ...options });
  }

  async startServer(
    place: NamespaceName,
    port: number,
    protocol: "tcp" | "udp" = "tcp",
    name: string = place,
  ): Promise<void> {
    await this.call(place, "serve", { protocol, port, name });
  }

  /** Closes a server and its connections. Later connections are refused. */
  async closeServer(place: NamespaceName, port: number, protocol: "tcp" | "udp" = "tcp"): Promise<void> {
    await this.call(place, "close", { protocol, port });
  }

  async connectRepeatedly(
    place: NamespaceName,
    host: string,
    port: number,
    options: object = {},
  ): Promise<readonly Answer[]> {
    return (await this.call<{ answers: readonly Answer[] }>(place, "ask", { host, port, ...options }))
      .answers;
  }

  async sendDatagram(place: NamespaceName, host: string, port: number, fromPort = 0): Promise<string> {
    return (await this.call<{ text: string }>(place, "askUdp", { host, port, fromPort })).text;
  }

  /** Takes down the host's link, as a power failure does. */
  disconnect(host: (typeof HOSTS)[number]): void {
    run("ip", "-n", this.namespace("lan"), "link", "set", `to-${host}`, "down");
  }

  /** Restores the host's link. Flushes its neighbor table, because failed entries would delay packets by a second. */
  reconnect(host: (typeof HOSTS)[number]): void {
    run("ip", "-n", this.namespace("lan"), "link", "set", `to-${host}`, "up");
    run("ip", "-n", this.namespace(host), "neigh", "flush", "dev", "eth0");
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#programs.values()].map((program) => program.stop()));
    this.#programs.clear();
    for (const place of ["lan", ...HOSTS, ...CONTAINERS] as const) {
      try {
        run("ip", "netns", "del", this.namespace(place));
      } catch {
        // The namespace was not created.
      }
    }
  }

  #build(): void {
    for (const place of ["lan", ...HOSTS, ...CONTAINERS] as const) {
      run("ip", "netns", "add", this.namespace(place));
      run("ip", "-n", this.namespace(place), "link", "set", "lo", "up");
    }
    run("ip", "-n", this.namespace("lan"), "link", "add", "lan", "type", "bridge");
    run("ip", "-n", this.namespace("lan"), "link", "set", "lan", "up");
    for (const host of HOSTS) this.#connect(host, "lan", "lan", `${ADDRESS[host]}/24`);
    const a = this.namespace("a");
    run("ip", "-n", a, "link", "add", "br0", "type", "bridge");
    run("ip", "-n", a, "addr", "add", "172.30.0.1/16", "dev", "br0");
    run("ip", "-n", a, "link", "set", "br0", "up");
    for (const container of CONTAINERS) {
      this.#connect(container, "a", "br0", `${ADDRESS[container]}/16`);
      run("ip", "-n", this.namespace(container), "route", "add", "default", "via", "172.30.0.1");
    }
    this.run("a", "sysctl", "-qw", "net.ipv4.ip_forward=1");
    this.#addDockerRules();
  }

  #connect(place: NamespaceName, into: "lan" | "a", bridge: string, address: string): void {
    const [here, there] = [this.namespace(place), this.namespace(into)];
    const peer = ["peer", "name", `to-${place}`, "netns", there];
    run("ip", "link", "add", "eth0", "netns", here, "type", "veth", ...peer);
    run("ip", "-n", there, "link", "set", `to-${place}`, "master", bridge, "up");
    run("ip", "-n", here, "addr", "add", address, "dev", "eth0");
    run("ip", "-n", here, "link", "set", "eth0", "up");
  }

  /** Adds the iptables rules of Docker 20.10 to 27 for a bridge without published ports. */
  #addDockerRules(): void {
    const rules = [
      "-P FORWARD DROP",
      "-N DOCKER-USER",
      "-A DOCKER-USER -j RETURN",
      "-A FORWARD -j DOCKER-USER",
      "-A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "-A FORWARD -i br0 ! -o br0 -j ACCEPT",
      "-A FORWARD -i br0 -o br0 -j ACCEPT",
      "-t nat -A POSTROUTING -s 172.30.0.0/16 ! -o br0 -j MASQUERADE",
    ];
    for (const rule of rules) this.run("a", "iptables", "-w", ...rule.split(" "));
  }

  async #startPrograms(): Promise<void> {
    const places = [...HOSTS, ...CONTAINERS];
    const started = await Promise.all(places.map((place) => HostProgram.start(this.namespace(place))));
    for (const [index, place] of places.entries()) {
      const program = started[index];
      if (program !== undefined) this.#programs.set(place, program);
    }
  }
}

/** The client of a `host-program.mjs` process. */
class HostProgram {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: { error?: string }) => void>();
  #lastId = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(namespace: string): Promise<HostProgram> {
    const child = spawn("ip", ["netns", "exec", namespace, process.execPath, PROGRAM], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const program = new HostProgram(child);
    const lines = createInterface({ input: child.stdout });
    const ready = once(lines, "line");
    lines.on("line", (line) => {
      const { reply, ...rest } = JSON.parse(line);
      program.#waiting.get(reply)?.(rest);
      program.#waiting.delete(reply);
    });
    await ready;
    return program;
  }

  call<Reply>(command: object): Promise<Reply> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (reply) => {
        if (reply.error === undefined) resolve(reply as Reply);
        else reject(new Error(reply.error));
      });
      this.#child.stdin?.write(`${JSON.stringify({ ...command, id })}\n`);
    });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}

/** Removes the namespaces of test processes that have ended. */
function removeLeftoverNamespaces(): void {
  for (const line of run("ip", "netns", "list").split("\n")) {
    const [name = ""] = line.split(" ");
    const owner = NAMESPACE_PATTERN.exec(name)?.[1];
    if (owner === undefined || isAlive(Number(owner))) continue;
    try {
      run("ip", "netns", "del", name);
    } catch {
      // Another test process removed it first.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
