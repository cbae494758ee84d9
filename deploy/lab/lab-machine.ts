import type { Machine } from "./machine.js";
import type { RunOptions, RunResult } from "./run.js";

/** What can be done to any machine of a lab, whatever runs on it. */
export abstract class LabMachine {
  readonly name: string;
  readonly address: string;
  protected readonly machine: Machine;

  constructor(machine: Machine) {
    this.name = machine.name;
    this.address = machine.address;
    this.machine = machine;
  }

  /** Switches the machine on, with all that belongs on it. */
  abstract start(signal?: AbortSignal): Promise<void>;

  get isUp(): boolean {
    return this.machine.isUp;
  }

  /** The machine's PID 1 as the root namespace numbers it; undefined while it is down. */
  get initPid(): number | undefined {
    return this.machine.initPid;
  }

  /** A power cut: everything that runs on the machine is gone at once, its data stays. */
  kill(): Promise<void> {
    return this.machine.powerOff();
  }

  /** Pulls the network cable; everything on the machine runs on. */
  partition(): Promise<void> {
    return this.machine.unplug();
  }

  /** Plugs the network cable in again. */
  heal(): Promise<void> {
    return this.machine.plug();
  }

  async isPartitioned(): Promise<boolean> {
    return !(await this.machine.isPlugged());
  }

  /** Runs a program in the machine's namespaces; its exit code is a value. */
  exec(argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return this.machine.exec(argv, options);
  }

  /** The command line that runs `argv` on the machine, for programs that need the terminal. */
  commandInside(argv: readonly string[]): string[] {
    return this.machine.commandInside(argv);
  }
}
