import type { Machine } from "./machine.js";
import type { RunOptions, RunResult } from "./run.js";

/** A machine in a lab: a Docker host ({@link LabHost}) or the server machine. */
export abstract class LabMachine {
  readonly name: string;
  readonly address: string;
  protected readonly machine: Machine;

  constructor(machine: Machine) {
    this.name = machine.name;
    this.address = machine.address;
    this.machine = machine;
  }

  /** Powers the machine on and starts its daemons. */
  abstract start(signal?: AbortSignal): Promise<void>;

  get isUp(): boolean {
    return this.machine.isUp;
  }

  /** PID of the machine's init process in the root namespace. Undefined while the machine is down. */
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

  /** Runs a program in the machine's namespaces. A non-zero exit code does not throw. */
  exec(argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return this.machine.exec(argv, options);
  }

  /** Returns the command line that runs `argv` on the machine. For programs that need the terminal. */
  commandInside(argv: readonly string[]): string[] {
    return this.machine.commandInside(argv);
  }
}
