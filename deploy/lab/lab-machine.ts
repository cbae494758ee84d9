import { docker } from "./images.js";
import type { Machine } from "./machine.js";
import type { RunOptions, RunResult } from "./run.js";

/** A machine in a lab: a Docker host ({@link DockerHost}) or the server machine. */
export abstract class LabMachine<M extends Machine = Machine> {
  readonly name: string;
  readonly address: string;
  protected readonly machine: M;

  constructor(machine: M) {
    this.name = machine.name;
    this.address = machine.address;
    this.machine = machine;
  }

  /** Powers the machine on and starts its daemons. */
  abstract start(signal?: AbortSignal): Promise<void>;

  /** Describes the daemons on the machine, such as "docker", "server (leader)" or "docker (not responding)". */
  abstract describeDaemons(): Promise<readonly string[]>;

  /** Returns the number of running containers, or undefined if Docker does not respond. */
  countContainers(): Promise<number | undefined> {
    return Promise.resolve(0);
  }

  get isUp(): boolean {
    return this.machine.isUp;
  }

  /** PID of the machine's first process, in the root namespace. Undefined while the machine is down. */
  get initPid(): number | undefined {
    return this.machine.initPid;
  }

  /** Cuts the power: all processes on the machine end at once. The disk keeps its data. */
  kill(): Promise<void> {
    return this.machine.powerOff();
  }

  /** Pulls the network cable. Processes on the machine keep running. */
  partition(): Promise<void> {
    return this.machine.unplug();
  }

  /** Plugs the network cable back in. */
  heal(): Promise<void> {
    return this.machine.plug();
  }

  async isPartitioned(): Promise<boolean> {
    return !(await this.machine.isPlugged());
  }

  /** Runs a program on the machine. A non-zero exit code does not throw. */
  exec(argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return this.machine.exec(argv, options);
  }

  /** Returns the command line that runs `argv` on the machine. For programs that need the terminal. */
  commandInside(argv: readonly string[]): string[] {
    return this.machine.commandInside(argv);
  }
}

/** A machine with Docker and, in a lab with berth, an agent. */
export abstract class DockerHost<M extends Machine = Machine> extends LabMachine<M> {
  /** Path of Docker's socket in the root namespace, for `docker -H unix://…`. */
  abstract readonly dockerSocket: string;
  /** Where users find the agent's log: a path, or the command that prints it. */
  abstract readonly agentLogHint: string;

  override async countContainers(): Promise<number | undefined> {
    const ids = await docker(this.dockerSocket, ["ps", "--quiet"]).catch(() => undefined);
    return ids?.split("\n").filter(Boolean).length;
  }
}
