import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LabError } from "./lab-error.js";
import type { Lan } from "./lan.js";
import { type MachinePaths, machinePaths } from "./paths.js";
import {
  findInit,
  isAlive,
  namespaceOf,
  namespacePids,
  netnsOfHandle,
  type ProcessInfo,
  type ProcessRef,
  processesIn,
  signalProcess,
} from "./processes.js";
import { type RunOptions, type RunResult, run, runOrThrow } from "./run.js";
import { waitUntil } from "./wait-until.js";

const BOOT_SCRIPT = fileURLToPath(new URL("boot.sh", import.meta.url));
/** Mounts and a fork: milliseconds, seconds on a machine that is very busy. */
const BOOT_TIMEOUT_MS = 10_000;
/** The kernel kills hundreds of containers' processes; disk flushes may hold some for a while. */
const POWER_OFF_TIMEOUT_MS = 20_000;

export interface MachineOptions {
  readonly lab: string;
  readonly name: string;
  readonly address: string;
  readonly lan: Lan;
  /** What its `usr` holds comes before what this machine has in /usr. */
  readonly overlayFolder?: string;
}

/**
 * A computer made of namespaces (network, mount, uts, PID): its own address, hostname, `/run` and PID 1.
 *
 * It has no state of its own beside the kernel's: whoever makes a `Machine` with the same names handles the same one.
 */
export class Machine {
  readonly name: string;
  readonly address: string;
  readonly paths: MachinePaths;
  readonly #lan: Lan;
  readonly #overlayFolder: string;

  constructor({ lab, name, address, lan, overlayFolder = "" }: MachineOptions) {
    this.name = name;
    this.address = address;
    this.paths = machinePaths(lab, name);
    this.#lan = lan;
    this.#overlayFolder = overlayFolder;
  }

  get isUp(): boolean {
    return this.#findInit() !== undefined;
  }

  get initPid(): number | undefined {
    return this.#findInit()?.pid;
  }

  /** Switches the machine on with an empty `/run` and network; what is in its data folder is as it was. */
  async boot(signal?: AbortSignal): Promise<void> {
    if (this.isUp) throw new LabError("LAB_HOST_UP", `${this.name} is running already`);
    const { runDir, dataDir, logDir, netns } = this.paths;
    await rm(runDir, { recursive: true, force: true });
    await Promise.all([runDir, dataDir, logDir].map((folder) => mkdir(folder, { recursive: true })));
    await this.#lan.attach(this.name, netns, this.address);
    signal?.throwIfAborted();
    this.#launch();
    await waitUntil(() => this.isUp && existsSync(join(runDir, "booted")), {
      what: `${this.name} to boot (${BOOT_SCRIPT} with its own namespaces)`,
      timeoutMs: BOOT_TIMEOUT_MS,
      signal,
    });
  }

  /**
   * A power cut: returns when nothing of the machine runs any more.
   * The cable goes first, so that dying processes cannot say goodbye: no FIN and no RST reaches anybody.
   */
  async powerOff(): Promise<void> {
    const init = this.#initOrThrow();
    await this.#lan.unplug(this.name);
    signalProcess(init, "SIGKILL");
    await waitUntil(() => !isAlive(init), {
      what: `the processes of ${this.name} to die`,
      timeoutMs: POWER_OFF_TIMEOUT_MS,
    });
    await this.#lan.detach(this.name, this.paths.netns);
  }

  /** Pulls the cable: the machine runs on, alone. */
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

  /** Processes of the machine itself; those in containers with a PID namespace of their own are not among them. */
  processes(): ProcessInfo[] {
    const init = this.#findInit();
    const namespace = init && namespaceOf(init.pid, "pid");
    return namespace ? processesIn("pid", namespace) : [];
  }

  /** Runs a program inside; its exit code is a value. */
  async exec(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.commandInside(argv), { env: machineEnv(), ...options });
  }

  /**
   * Starts a program that stays: a child of the machine's PID 1, its output appended to `logFile`.
   * Returns the process, or undefined when it has ended already.
   */
  async spawnDaemon(argv: readonly string[], logFile: string): Promise<ProcessRef | undefined> {
    const detach = 'setsid "$@" </dev/null >>"$0" 2>&1 & echo $!';
    const pidInside = await runOrThrow(this.commandInside(["sh", "-c", detach, logFile, ...argv]), {
      env: machineEnv(),
    });
    return this.processes().find(({ pid }) => namespacePids(pid).at(-1) === pidInside.trim());
  }

  /** The command line that runs `argv` inside. */
  commandInside(argv: readonly string[]): string[] {
    const { pid } = this.#initOrThrow();
    return ["nsenter", "--target", String(pid), "--net", "--mount", "--uts", "--pid", "--", ...argv];
  }

  #launch(): void {
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
      this.#overlayFolder,
    ];
    // Detached: Ctrl-C at the lab's terminal must not switch off machines.
    const launcher = spawn("nsenter", argv, { detached: true, stdio: "ignore", env: machineEnv(), cwd: "/" });
    launcher.on("error", () => undefined); // not started: waiting for the boot says so
    launcher.unref();
  }

  #findInit(): ProcessRef | undefined {
    const netns = netnsOfHandle(this.paths.netns);
    return netns === undefined ? undefined : findInit(netns);
  }

  #initOrThrow(): ProcessRef {
    const init = this.#findInit();
    if (init) return init;
    throw new LabError("LAB_HOST_DOWN", `${this.name} is down; start it first`);
  }
}

/** What a machine's programs see: nothing of the shell, test runner or proxy settings of whoever runs the lab. */
function machineEnv(): NodeJS.ProcessEnv {
  return {
    PATH: `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: "/root",
    LANG: "C.UTF-8",
  };
}
