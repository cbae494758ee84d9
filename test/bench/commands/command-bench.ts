import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cliCommand } from "../../../deploy/lab/berth-commands.js";
import type { Lab } from "../../../deploy/lab/lab.js";

export type Transfer =
  | "cp from"
  | "docker cp from"
  | "cp to"
  | "docker cp to"
  | "run"
  | "docker run"
  | "attach"
  | "docker attach"
  | "port-forward";

const TRANSFERS: readonly Transfer[] = [
  "cp from",
  "docker cp from",
  "cp to",
  "docker cp to",
  "run",
  "docker run",
  "attach",
  "docker attach",
  "port-forward",
];

/** The service with the file that is copied. */
const SERVICE = "bench";
const PORT = 9_000;
const DIRECTORY = "/www";
const FILE = `${DIRECTORY}/data`;
const ATTACHED = "bench-attached";

export interface CommandBenchOptions {
  readonly lab: Lab;
  readonly image: string;
  readonly bytes: number;
  readonly signal: AbortSignal;
}

/** Runs the same transfers and starts with berth's and with Docker's command line, on the first host of a lab. */
export class CommandBench {
  readonly transfers = TRANSFERS;
  readonly #options: CommandBenchOptions;
  readonly #directory: string;
  readonly #containerId: string;

  private constructor(options: CommandBenchOptions, directory: string, containerId: string) {
    this.#options = options;
    this.#directory = directory;
    this.#containerId = containerId;
  }

  /** Creates a task with a file of the size, which it also serves on a port. */
  static async start(options: CommandBenchOptions): Promise<CommandBench> {
    const { lab, image, bytes, signal } = options;
    const mebibytes = bytes / 1024 ** 2;
    const script = `busybox mkdir -p ${DIRECTORY}; busybox dd if=/dev/urandom of=${FILE} bs=1M count=${mebibytes} 2>/dev/null; exec busybox httpd -f -p ${PORT} -h ${DIRECTORY}`;
    const create = [
      "service",
      "create",
      "--name",
      SERVICE,
      "--resolve-image",
      "never",
      image,
      "busybox",
      "sh",
      "-c",
    ];
    await succeed(lab, [...create, script], signal);
    const { stdout } = await succeed(lab, ["ps", "-f", `service=${SERVICE}`, "-o", "json"], signal);
    const [task] = JSON.parse(stdout) as { readonly containerId: string }[];
    if (task === undefined) throw new Error("the task does not run");
    await waitForFile(lab, bytes, signal);
    return new CommandBench(options, await mkdtemp(join(tmpdir(), "berth-bench-")), task.containerId);
  }

  /** Returns the seconds that one transfer took. */
  async transfer(transfer: Transfer): Promise<number> {
    const { image, bytes } = this.#options;
    const local = join(this.#directory, "file");
    const zeros = ["busybox", "head", "-c", String(bytes), "/dev/zero"];
    switch (transfer) {
      case "cp from":
        return this.#time(this.#berth("cp", "-q", `${SERVICE}:${FILE}`, local));
      case "docker cp from":
        return this.#time(this.#docker("cp", "-q", `${this.#containerId}:${FILE}`, local));
      case "cp to":
        return this.#time(this.#berth("cp", "-q", local, `${SERVICE}:/copy`));
      case "docker cp to":
        return this.#time(this.#docker("cp", "-q", local, `${this.#containerId}:/copy`));
      case "run":
        return this.#time(this.#berth("run", "--rm", image, ...zeros), bytes);
      case "docker run":
        return this.#time(this.#docker("run", "--rm", image, ...zeros), bytes);
      case "attach":
        return this.#timeAttached();
      case "docker attach":
        return this.#timeDockerAttached();
      case "port-forward":
        return this.#timeForwarded();
    }
  }

  /** Returns the times of containers that end at once, in turn, in ms. */
  async startTimes(count: number): Promise<{ readonly berth: number[]; readonly docker: number[] }> {
    const { image } = this.#options;
    const command = ["run", "--rm", image, "busybox", "true"];
    const berth: number[] = [];
    const docker: number[] = [];
    for (let run = 0; run < count; run += 1) {
      berth.push(1_000 * (await this.#time(this.#berth(...command))));
      docker.push(1_000 * (await this.#time(this.#docker(...command))));
    }
    return { berth, docker };
  }

  async close(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }

  #berth(...args: readonly string[]): ChildProcess {
    const { lab, signal } = this.#options;
    const [program = "", ...words] = cliCommand(args);
    return spawn(program, words, { env: lab.cliEnv(), stdio: ["pipe", "pipe", "inherit"], signal });
  }

  #docker(...args: readonly string[]): ChildProcess {
    const { lab, signal } = this.#options;
    const socket = `unix://${lab.hosts[0]?.dockerSocket ?? ""}`;
    return spawn("docker", ["-H", socket, ...args], { stdio: ["pipe", "pipe", "inherit"], signal });
  }

  /** Returns the seconds until a command ends. @param expected bytes of its output; undefined for any number */
  async #time(child: ChildProcess, expected?: number): Promise<number> {
    const startMs = performance.now();
    let bytes = 0;
    child.stdout?.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    const [code] = (await once(child, "close")) as [number | null];
    const seconds = (performance.now() - startMs) / 1_000;
    if (code !== 0) throw new Error(`${child.spawnargs.join(" ")}: exit ${code}`);
    if (expected !== undefined && bytes !== expected)
      throw new Error(`${child.spawnargs.join(" ")}: ${bytes} of ${expected} bytes`);
    return seconds;
  }

  /** Sends input to an attached container: the direction that `run` does not use. */
  async #timeAttached(): Promise<number> {
    const { image, bytes } = this.#options;
    const script = `busybox head -c ${bytes} | busybox wc -c`;
    const run = this.#berth("run", "--rm", "-i", "--name", ATTACHED, image, "busybox", "sh", "-c", script);
    return this.#timeInput(run);
  }

  async #timeDockerAttached(): Promise<number> {
    const { image, bytes } = this.#options;
    const script = `busybox head -c ${bytes} | busybox wc -c`;
    return this.#timeInput(this.#docker("run", "--rm", "-i", image, "busybox", "sh", "-c", script));
  }

  /** Sends the bytes to a command, and returns the seconds until it has counted them. */
  async #timeInput(child: ChildProcess): Promise<number> {
    const { bytes } = this.#options;
    const ended = this.#time(child);
    const chunk = Buffer.alloc(256 * 1024);
    const { stdin } = child;
    if (stdin === null) throw new Error("the command has no input");
    stdin.on("error", () => {});
    for (let sent = 0; sent < bytes; sent += chunk.length) {
      if (!stdin.write(chunk)) await once(stdin, "drain");
    }
    stdin.end();
    return ended;
  }

  async #timeForwarded(): Promise<number> {
    const { bytes } = this.#options;
    const child = this.#berth("port-forward", SERVICE, `:${PORT}`);
    const [line] = (await once(child.stdout ?? child, "data")) as [Buffer];
    const [, port = ""] = /:(\d+) ->/.exec(String(line)) ?? [];
    const startMs = performance.now();
    let received = 0;
    const { body } = await fetch(`http://127.0.0.1:${port}/data`, { signal: this.#options.signal });
    for await (const chunk of body ?? []) received += chunk.length;
    const seconds = (performance.now() - startMs) / 1_000;
    child.kill("SIGINT");
    await once(child, "close");
    if (received !== bytes) throw new Error(`port-forward: ${received} of ${bytes} bytes`);
    return seconds;
  }
}

async function succeed(
  lab: Lab,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly stdout: string }> {
  const { code, stdout, stderr } = await lab.berth(args, { signal });
  if (code !== 0) throw new Error(`berth ${args.join(" ")}: exit ${code}\n${stdout}${stderr}`);
  return { stdout };
}

/** The program in the container writes the file before it listens. */
async function waitForFile(lab: Lab, bytes: number, signal: AbortSignal): Promise<void> {
  const count = `until [ "$(busybox stat -c %s ${FILE})" = ${bytes} ]; do busybox sleep 0.1; done; busybox sleep 0.5`;
  await succeed(lab, ["exec", SERVICE, "busybox", "sh", "-c", count], signal);
}
