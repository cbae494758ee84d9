import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LabError } from "./lab-error.js";
import type { Lan } from "./lan.js";
import type { Machine } from "./machine.js";
import { type MachinePaths, machinePaths } from "./paths.js";
import {
  findInit,
  isAlive,
  listProcesses,
  type ProcessInfo,
  type ProcessRef,
  readNamespace,
  readNamespacePids,
  readNetnsHandle,
  signalProcess,
} from "./processes.js";
import { type RunOptions, type RunResult, run, runOrThrow } from "./run.js";
import { waitUntil } from "./wait-until.js";

const BOOT_SCRIPT = fileURLToPath(new URL("boot.sh", import.meta.url));
/**
 * Timeout of a boot. It is a few mounts and forks, which take milliseconds, or many seconds on an overloaded machine.
 */
const BOOT_TIMEOUT_MS = 60_000;
/**
 * Timeout until all processes of a machine are gone. Allows for hundreds of containers, and for disk flushes that delay
 * the end of a process.
 */
const POWER_OFF_TIMEOUT_MS = 20_000;

export interface NamespaceMachineOptions {
  readonly lab: string;
  readonly name: string;
  readonly address: string;
  readonly lan: Lan;
  /** Directory whose `usr` is mounted over the machine's /usr. Nothing is mounted if empty. */
  readonly overlayDirectory?: string;
}

/**
 * A virtual computer made of namespaces (network, mount, UTS, PID), with its own address, hostname, `/run` and PID 1.
 * All its state is in the kernel, so objects with the same lab and machine name control the same machine.
 */
export class NamespaceMachine implements Machine {
  readonly name: string;
  readonly address: string;
  readonly paths: MachinePaths;
  readonly #lan: Lan;
  readonly #overlayDirectory: string;

  constructor({ lab, name, address, lan, overlayDirectory = "" }: NamespaceMachineOptions) {
    this.name = name;
    this.address = address;
    this.paths = machinePaths(lab, name);
    this.#lan = lan;
    this.#overlayDirectory = overlayDirectory;
  }

  get isUp(): boolean {
    return this.#findInit() !== undefined;
  }

  get initPid(): number | undefined {
    return this.#findInit()?.pid;
  }

  /** Powers the machine on with an empty `/run` and a new network. Its data directory keeps its content. */
  async boot(signal?: AbortSignal): Promise<void> {
    if (this.isUp) throw new LabError("LAB_HOST_UP", `${this.name} is already up`);
    const { runDir, dataDir, logDir, netns } = this.paths;
    await rm(runDir, { recursive: true, force: true });
    await Promise.all([runDir, dataDir, logDir].map((directory) => mkdir(directory, { recursive: true })));
    await this.#lan.attach(this.name, netns, this.address);
    signal?.throwIfAborted();
    const logFile = join(logDir, "boot.log");
    const launcher = this.#launch(logFile);
    const hasBooted = (): boolean => {
      if (launcher.exitCode !== null) throw bootFailedError(this.name, launcher.exitCode, logFile);
      return this.isUp && existsSync(join(runDir, "booted"));
    };
    await waitUntil(hasBooted, {
      what: `${this.name} to boot (${BOOT_SCRIPT})`,
      timeoutMs: BOOT_TIMEOUT_MS,
      signal,
    });
  }

  /**
   * Cuts the power and waits until all processes of the machine have ended. Pulls the network cable first, so that no
   * FIN or RST of a dying process reaches other machines.
   */
  async powerOff(): Promise<void> {
    const init = this.#initOrThrow();
    await this.#lan.unplug(this.name);
    signalProcess(init, "SIGKILL");
    await waitUntil(() => !isAlive(init), {
      what: `the processes of ${this.name} to end`,
      timeoutMs: POWER_OFF_TIMEOUT_MS,
    });
    await this.#lan.detach(this.name, this.paths.netns);
  }

  /** Pulls the network cable. The machine keeps running. */
  async unplug(): Promise<void> {
    this.#initOrThrow();
    await this.#lan.unplug(this.name);
  }

  async plug(): Promise<void> {
    this.#initOrThrow();
    await this.#lan.plug(this.name);
  }

  isPlugged(): Promise<boolean> {
    return this.#lan.isPlugged(this.name);
  }

  /** Returns whether a file exists. Only valid for files in the machine's data directory. */
  exists(path: string): Promise<boolean> {
    return Promise.resolve(existsSync(path));
  }

  /** Returns the processes in the machine's PID namespace. Processes in containers are not included. */
  processes(): ProcessInfo[] {
    const init = this.#findInit();
    const namespace = init && readNamespace(init.pid, "pid");
    return namespace ? listProcesses("pid", namespace) : [];
  }

  /** Runs a program on the machine. A non-zero exit code does not throw. */
  async exec(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.commandInside(argv), { env: machineEnv(), ...options });
  }

  /**
   * Starts a daemon as a child of the machine's PID 1 and appends its output to `logFile`. Returns the process, or
   * undefined if it has already ended.
   */
  async spawnDaemon(argv: readonly string[], logFile: string): Promise<ProcessRef | undefined> {
    const script = 'setsid "$@" </dev/null >>"$0" 2>&1 & echo $!';
    const pidInside = await runOrThrow(this.commandInside(["sh", "-c", script, logFile, ...argv]), {
      env: machineEnv(),
    });
    return this.processes().find(({ pid }) => readNamespacePids(pid).at(-1) === pidInside.trim());
  }

  /** Returns the command line that runs `argv` on the machine. */
  commandInside(argv: readonly string[]): string[] {
    const { pid } = this.#initOrThrow();
    return ["nsenter", "--target", String(pid), "--net", "--mount", "--uts", "--pid", "--", ...argv];
  }

  /** Starts the machine's PID 1. The returned process exits with it. */
  #launch(logFile: string): ChildProcess {
    const { netns, runDir, dataDir } = this.paths;
    const namespaces = ["--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"];
    const argv = [
      `--net=${netns}`,
      "unshare",
      ...namespaces,
      "sh",
      BOOT_SCRIPT,
      this.name,
      runDir,
      join(dataDir, "etc"),
      this.#overlayDirectory,
    ];
    const log = openSync(logFile, "w");
    // Detached, so that Ctrl-C in the lab's terminal does not stop the machine.
    const launcher = spawn("nsenter", argv, {
      detached: true,
      stdio: ["ignore", log, log],
      env: machineEnv(),
      cwd: "/",
    });
    closeSync(log);
    // A launcher that could not be started has a negative exit code.
    launcher.on("error", () => undefined);
    launcher.unref();
    return launcher;
  }

  #findInit(): ProcessRef | undefined {
    const netns = readNetnsHandle(this.paths.netns);
    return netns === undefined ? undefined : findInit(netns);
  }

  #initOrThrow(): ProcessRef {
    const init = this.#findInit();
    if (init) return init;
    throw new LabError("LAB_HOST_DOWN", `${this.name} is down; start it first`);
  }
}

function bootFailedError(name: string, code: number, logFile: string): LabError {
  const output = readFileSync(logFile, "utf8").trim();
  return new LabError("LAB_NOT_READY", `${name} did not boot: ${BOOT_SCRIPT} exited with ${code}: ${output}`);
}

/** Returns the environment of a machine's programs, without the caller's shell, test runner and proxy settings. */
function machineEnv(): NodeJS.ProcessEnv {
  return {
    PATH: `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: "/root",
    LANG: "C.UTF-8",
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
  };
}
