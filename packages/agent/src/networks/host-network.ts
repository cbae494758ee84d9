import { linkCommands } from "../core/networks/link-commands.js";
import type { LinkStep } from "../core/networks/network-step.js";
import { type ObservedLinks, parseLinks } from "../core/networks/observed-links.js";
import { WIREGUARD_DEVICE } from "../core/networks/wireguard.js";
import { type RunProgram, runProgram } from "../runtime/run-program.js";

/** The network devices of a host. */
export interface HostNetwork {
  /** @throws Error when they cannot be read: iproute2 is missing, or does not know an option. */
  observe(nodeAddress: string, signal: AbortSignal): Promise<ObservedLinks>;
  /** @throws Error in the words of the program that failed. */
  run(step: LinkStep, signal: AbortSignal): Promise<void>;
}

export interface LinuxOptions {
  /** Of this host; "": it has none. */
  readonly wireguardPrivateKey: string;
  readonly run?: RunProgram;
}

/** The devices of the network namespace that programs run in, by way of iproute2. */
export function linuxHostNetwork({ run = runProgram, wireguardPrivateKey }: LinuxOptions): HostNetwork {
  const execute = async (
    [program = "", ...args]: readonly string[],
    signal: AbortSignal,
    input = "",
  ): Promise<string> => {
    const result = await run(program, { args, signal, input });
    if (result.kind === "done") return result.stdout;
    const problem = result.kind === "missing" ? `${program} is not installed` : result.reason;
    throw new Error(`${[program, ...args].join(" ")}: ${problem}`);
  };
  const readJson = async (command: readonly string[], signal: AbortSignal): Promise<unknown> => {
    const stdout = await execute(command, signal);
    return stdout.trim() === "" ? [] : JSON.parse(stdout);
  };
  return {
    async observe(nodeAddress, signal) {
      const [addresses, routes, fdb, neighbours] = await Promise.all([
        readJson(["ip", "-json", "-details", "address", "show"], signal),
        readJson(["ip", "-json", "-4", "route", "show", "table", "all"], signal),
        readJson(["bridge", "-json", "fdb", "show"], signal),
        readJson(["ip", "-json", "neigh", "show", "nud", "permanent"], signal),
      ]);
      const listings = { addresses, routes, fdb, neighbours, wireguard: "" };
      const observed = parseLinks(listings, nodeAddress);
      if (!observed.links.has(WIREGUARD_DEVICE)) return observed;
      // A host without wg, or on which that is another device, has other networks to look after.
      const wireguard = await execute(["wg", "show", WIREGUARD_DEVICE, "dump"], signal).catch(() => "");
      signal.throwIfAborted();
      return parseLinks({ ...listings, wireguard }, nodeAddress);
    },
    async run(step, signal) {
      for (const { program, args: words, input } of linkCommands(step, wireguardPrivateKey)) {
        await execute([program, ...words], signal, input);
      }
    },
  };
}
