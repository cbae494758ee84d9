import { BerthError, ControlServiceService } from "@berth/proto";
import { createRpcClient, type RpcClient } from "@berth/proto/rpc";
import type { Cli, GlobalOptions } from "../process/cli.js";
import { configPath, DEFAULT_CONTEXT, readContexts } from "./contexts.js";
import { createFailoverClient } from "./failover-client.js";

/** Address of a server that runs on this machine with the default `--listen`. */
export const DEFAULT_SERVER = "127.0.0.1:7400";

const ADDRESS = /^(?:\[[0-9a-fA-F:.%]+\]|[^\s:/[\]]+):(\d{1,5})$/;
const MAX_PORT = 65_535;

/** The typed calls of the control service. */
export type ControlClient = RpcClient<typeof ControlServiceService>;

/** Connects to the servers of the cluster, calls `run` with the client, then closes the connection. */
export async function withClient<T>(
  cli: Cli,
  options: GlobalOptions,
  run: (client: ControlClient) => Promise<T>,
): Promise<T> {
  const [address = "", ...others] = (await resolveServerAddresses(cli, options)).split(",");
  const connection =
    others.length === 0
      ? createRpcClient(ControlServiceService, { address })
      : createFailoverClient([address, ...others]);
  try {
    return await run(connection.calls);
  } finally {
    connection.close();
  }
}

/** Returns the server addresses (`HOST:PORT,…`) from `--server`, `BERTH_SERVER` or the current context, in this order. */
export async function resolveServerAddresses(cli: Cli, options: GlobalOptions): Promise<string> {
  const explicit = options.server ?? cli.env.BERTH_SERVER;
  if (explicit !== undefined && explicit !== "") return parseServerAddresses(explicit);
  const { current, contexts } = await readContexts(configPath(cli));
  const saved = contexts[current]?.server;
  if (saved !== undefined) return parseServerAddresses(saved);
  if (current === DEFAULT_CONTEXT) return DEFAULT_SERVER;
  const message = `no such context: ${current}: select another one with berth context use NAME`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}

/**
 * Normalizes a list of addresses.
 * @throws BerthError BERTH_INPUT_INVALID unless the list has the form `HOST:PORT,…`.
 */
export function parseServerAddresses(list: string): string {
  const addresses = list.split(",").map((part) => part.trim());
  for (const address of addresses) assertValidAddress(address);
  return addresses.join(",");
}

function assertValidAddress(text: string): void {
  const port = Number(ADDRESS.exec(text)?.[1] ?? "0");
  if (port >= 1 && port <= MAX_PORT) return;
  const message = `invalid server address ${JSON.stringify(text)}: use HOST:PORT, such as ${DEFAULT_SERVER}`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
