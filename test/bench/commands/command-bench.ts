import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Lab } from "../../../deploy/lab/lab.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { runOrThrow } from "../../../deploy/lab/run.js";
import { bundledProgram } from "../bundled-program.js";

export type Transfer =
  | "cp from"
  | "docker cp from"
  | "cp to"
  | "docker cp to"
  | "run"
  | "docker run"
  | "attach"
  | "docker attach"
  | "port-forward"
  | "docker port";

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
  "docker port",
];

/** Name of the service whose task contains the copied file. */
const SERVICE = "bench";
const PORT = 9_000;
const DIRECTORY = "/www";
const FILE = `${DIRECTORY}/data`;
/** Name of the container whose port Docker publishes. */
const PUBLISHED_CONTAINER = "bench-published";
/** Name of the one-off task that `berth attach` is measured with. */
const ATTACHED_TASK = "bench-attached";

export interface CommandBenchOptions {
  readonly lab: Lab;
  readonly image: string;
  readonly bytes: number;
  readonly signal: AbortSignal;
}

/** Runs the same transfers and container starts with the berth CLI and the Docker CLI, on the first host of a lab. */
export class CommandBench {
  readonly transfers = TRANSFERS;
  readonly #options: CommandBenchOptions;
  /** Copies are written to this directory. */
  readonly #directory: string;
  readonly #program: string;
  readonly #host: LabHost;
  readonly #containerId: string;

  private constructor(
    options: CommandBenchOptions,
    paths: { readonly directory: string; readonly program: string },
    { host, containerId }: { readonly host: LabHost; readonly containerId: string },
  ) {
    this.#options = options;
    this.#directory = paths.directory;
    this.#program = paths.program;
    this.#host = host;
    this.#containerId = containerId;
  }

  /** Creates a service whose task has a file of `options.bytes` bytes and serves it over HTTP. */
  static async start(options: CommandBenchOptions): Promise<CommandBench> {
    const { lab, image, bytes, signal } = options;
    const [host] = lab.hosts;
    if (host === undefined) throw new Error("the lab has no host");
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
    if (task === undefined) throw new Error(`service ${SERVICE} has no task`);
    await waitForFile(lab, bytes, signal);
    // The same server with a port that Docker publishes, whose packets the kernel forwards.
    const publish = ["--detach", "--rm", "--name", PUBLISHED_CONTAINER, "--publish", `${PORT}:${PORT}`];
    const client = ["docker", "-H", `unix://${host.dockerSocket}`];
    await runOrThrow([...client, "run", ...publish, image, "busybox", "sh", "-c", script]);
    await runOrThrow([...client, "exec", PUBLISHED_CONTAINER, "busybox", "sh", "-c", untilFileHas(bytes)]);
    const directory = await mkdtemp(join(tmpdir(), "berth-bench-"));
    const program = await bundledProgram(directory);
    return new CommandBench(options, { directory, program }, { host, containerId: task.containerId });
  }

  /** Runs one transfer and returns how many seconds it took. */
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
      case "docker port":
        return this.#timeRequest(`${this.#host.address}:${PORT}`);
    }
  }

  /** Runs a container that exits at once, alternately with berth and Docker. Returns the durations in milliseconds. */
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
    return spawn(process.execPath, [this.#program, ...args], {
      env: lab.cliEnv(),
      stdio: ["pipe", "pipe", "inherit"],
      signal,
    });
  }

  #docker(...args: readonly string[]): ChildProcess {
    const { signal } = this.#options;
    return spawn("docker", ["-H", `unix://${this.#host.dockerSocket}`, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
      signal,
    });
  }

  /**
   * Returns the seconds until a command exits.
   *
   * @param expectedBytes required size of the command's output. Undefined if any size is valid
   */
  async #time(child: ChildProcess, expectedBytes?: number): Promise<number> {
    const startMs = performance.now();
    let bytes = 0;
    child.stdout?.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    const [code] = (await once(child, "close")) as [number | null];
    const seconds = (performance.now() - startMs) / 1_000;
    if (code !== 0) throw new Error(`${child.spawnargs.join(" ")}: exit ${code}`);
    if (expectedBytes !== undefined && bytes !== expectedBytes)
      throw new Error(`${child.spawnargs.join(" ")}: received ${bytes} of ${expectedBytes} bytes`);
    return seconds;
  }

  /** Times input to a container. The `run` transfers measure the other direction. */
  async #timeAttached(): Promise<number> {
    const { image, bytes } = this.#options;
    const script = `busybox head -c ${bytes} | busybox wc -c`;
    const run = this.#berth(
      "run",
      "--rm",
      "-i",
      "--name",
      ATTACHED_TASK,
      image,
      "busybox",
      "sh",
      "-c",
      script,
    );
    return this.#timeInput(run);
  }

  async #timeDockerAttached(): Promise<number> {
    const { image, bytes } = this.#options;
    const script = `busybox head -c ${bytes} | busybox wc -c`;
    return this.#timeInput(this.#docker("run", "--rm", "-i", image, "busybox", "sh", "-c", script));
  }

  /** Sends `options.bytes` bytes to a command and returns the seconds until the command has read them. */
  async #timeInput(child: ChildProcess): Promise<number> {
    const { bytes } = this.#options;
    const ended = this.#time(child);
    const chunk = Buffer.alloc(256 * 1024);
    const { stdin } = child;
    if (stdin === null) throw new Error("the command has no stdin");
    stdin.on("error", () => {});
    for (let sent = 0; sent < bytes; sent += chunk.length) {
      if (!stdin.write(chunk)) await once(stdin, "drain");
    }
    stdin.end();
    return ended;
  }

  async #timeForwarded(): Promise<number> {
    const child = this.#berth("port-forward", SERVICE, `:${PORT}`);
    const [line] = (await once(child.stdout ?? child, "data")) as [Buffer];
    const [, port = ""] = /:(\d+) ->/.exec(String(line)) ?? [];
    const seconds = await this.#timeRequest(`127.0.0.1:${port}`);
    child.kill("SIGINT");
    await once(child, "close");
    return seconds;
  }

  /** Returns how many seconds it takes to get the file over HTTP. */
  async #timeRequest(address: string): Promise<number> {
    const { bytes, signal } = this.#options;
    const startMs = performance.now();
    let received = 0;
    const { body } = await fetch(`http://${address}/data`, { signal });
    for await (const chunk of body ?? []) received += chunk.length;
    if (received !== bytes) throw new Error(`${address}: received ${received} of ${bytes} bytes`);
    return (performance.now() - startMs) / 1_000;
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

/** Waits until the task has written the file, and half a second more until it listens. */
async function waitForFile(lab: Lab, bytes: number, signal: AbortSignal): Promise<void> {
  await succeed(lab, ["exec", SERVICE, "busybox", "sh", "-c", untilFileHas(bytes)], signal);
}

/** Returns a script that waits for the file, and half a second more. */
function untilFileHas(bytes: number): string {
  return `until [ "$(busybox stat -c %s ${FILE})" = ${bytes} ]; do busybox sleep 0.1; done; busybox sleep 0.5`;
}
