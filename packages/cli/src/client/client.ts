import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, ControlServiceService, isBerthError } from "@berth/proto";
import { createRpcClient, type RpcClient } from "@berth/proto/rpc";
import type { Cli, GlobalOptions } from "../process/cli.js";
import { configPath, DEFAULT_CONTEXT, readContexts } from "./contexts.js";
import { createFailoverClient } from "./failover-client.js";

/** Where a server on this machine listens unless told otherwise. */
export const DEFAULT_SERVER = "127.0.0.1:7400";

export type ControlClient = RpcClient<typeof ControlServiceService>;

const ADDRESS = /^(?:\[[0-9a-fA-F:.%]+\]|[^\s:/[\]]+):(\d{1,5})$/;
const MAX_PORT = 65_535;

/** The servers to talk to, `HOST:PORT,…`: `--server`, else `BERTH_SERVER`, else the context in use. */
export async function resolveServerAddresses(cli: Cli, options: GlobalOptions): Promise<string> {
  const given = options.server ?? cli.env.BERTH_SERVER;
  if (given !== undefined && given !== "") return parseServerAddresses(given);
  const { current, contexts } = await readContexts(configPath(cli));
  const saved = contexts[current]?.server;
  if (saved !== undefined) return parseServerAddresses(saved);
  if (current === DEFAULT_CONTEXT) return DEFAULT_SERVER;
  const message = `the context ${JSON.stringify(current)} is in use but not saved. Choose another: berth context use NAME`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}

/** @throws BerthError BERTH_INPUT_INVALID unless the text is `HOST:PORT`, or several of them with commas between. */
export function parseServerAddresses(list: string): string {
  const addresses = list.split(",").map((part) => part.trim());
  for (const address of addresses) checkAddress(address);
  return addresses.join(",");
}

function checkAddress(text: string): void {
  const port = Number(ADDRESS.exec(text)?.[1] ?? "0");
  if (port >= 1 && port <= MAX_PORT) return;
  const message = `${JSON.stringify(text)} is not a server address: write HOST:PORT, such as ${DEFAULT_SERVER}`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}

/** Runs something with a connection to the servers, and ends the connection after it. */
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

/** An election takes a few seconds: one that takes longer is a fault to be told. */
const ELECTION_PATIENCE_MS = 15_000;
const ELECTION_RETRY_MS = 500;

/** Makes a call, again while the servers are choosing a leader. For calls that may be made twice. */
export async function retryDuringElection<T>(cli: Cli, call: () => Promise<T>): Promise<T> {
  const deadlineMs = cli.now() + ELECTION_PATIENCE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const isElection = isBerthError(error, "BERTH_NO_LEADER") || isBerthError(error, "BERTH_NOT_LEADER");
      if (!isElection || cli.now() >= deadlineMs) throw error;
      await sleep(ELECTION_RETRY_MS, undefined, { signal: cli.signal });
    }
  }
}
