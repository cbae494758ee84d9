import { linkCommands } from "../core/networks/link-commands.js";
import type { LinkStep } from "../core/networks/network-step.js";
import { type ObservedLinks, parseLinks } from "../core/networks/observed-links.js";
import { type RunProgram, runProgram } from "../run-program.js";

/** The network devices of a host. */
export interface HostNetwork {
  /** @throws Error when they cannot be read: iproute2 is missing, or does not know an option. */
  observe(nodeAddress: string, signal: AbortSignal): Promise<ObservedLinks>;
  /** @throws Error in the words of the program that failed. */
  run(step: LinkStep, signal: AbortSignal): Promise<void>;
}

/** The devices of the network namespace that programs run in, by way of iproute2. */
export function linuxHostNetwork(run: RunProgram = runProgram): HostNetwork {
  const execute = async (
    [program = "", ...args]: readonly string[],
    signal: AbortSignal,
  ): Promise<string> => {
    const result = await run(program, { args, signal });
    if (result.kind === "done") return result.stdout;
    const problem = result.kind === "missing" ? "iproute2 is not installed" : result.reason;
    throw new Error(`${[program, ...args].join(" ")}: ${problem}`);
  };
  const readJson = async (command: readonly string[], signal: AbortSignal): Promise<unknown> => {
    const stdout = await execute(command, signal);
    return stdout.trim() === "" ? [] : JSON.parse(stdout);
  };
  return {
    async observe(nodeAddress, signal) {
      const [addresses, fdb] = await Promise.all([
        readJson(["ip", "-json", "-details", "address", "show"], signal),
        readJson(["bridge", "-json", "fdb", "show"], signal),
      ]);
      return parseLinks(addresses, fdb, nodeAddress);
    },
    async run(step, signal) {
      for (const command of linkCommands(step)) await execute(command, signal);
    },
  };
}
