import { stat } from "node:fs/promises";
import { BerthError } from "@berth/proto";
import type { Cli, GlobalOptions } from "../process/cli.js";
import { DEFAULT_SERVER, parseServerAddresses, socketPathOf } from "./addresses.js";
import { configPath, DEFAULT_CONTEXT, type IdentityLocation, identityOf, readContexts } from "./contexts.js";

/** The servers that a command connects to, and the identity with which it does. */
export interface ConnectionTarget {
  readonly addresses: readonly [string, ...string[]];
  /** Undefined when the context has none, and for unix sockets, which need none. */
  readonly identity: IdentityLocation | undefined;
}

/**
 * Returns the servers from `--server`, `BERTH_SERVER` or the current context, in this order, and the identity of the
 * current context. Without any of them, the target is the socket of a server on this host, or its default address.
 */
export async function resolveTarget(cli: Cli, options: GlobalOptions): Promise<ConnectionTarget> {
  const explicit = options.server ?? cli.env.BERTH_SERVER;
  if (explicit !== undefined && explicit !== "") {
    const addresses = toList(parseServerAddresses(explicit));
    if (addresses.every((address) => socketPathOf(address) !== undefined))
      return { addresses, identity: undefined };
    return { addresses, identity: identityOf(await readContexts(configPath(cli)), cli) };
  }
  const config = await readContexts(configPath(cli));
  const saved = config.contexts[config.current];
  if (saved !== undefined)
    return { addresses: toList(parseServerAddresses(saved.server)), identity: identityOf(config, cli) };
  if (config.current === DEFAULT_CONTEXT)
    return { addresses: [await defaultServer(cli)], identity: undefined };
  const message = `no such context: ${config.current}: select another one with berth context use NAME`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}

/** Returns the socket of a server on this host if it exists, and otherwise the default address of a server. */
export async function defaultServer({ serverSocket }: Pick<Cli, "serverSocket">): Promise<string> {
  const isSocket = await stat(serverSocket).then(
    (status) => status.isSocket(),
    () => false,
  );
  return isSocket ? `unix:${serverSocket}` : DEFAULT_SERVER;
}

function toList(addresses: string): readonly [string, ...string[]] {
  const [first = "", ...others] = addresses.split(",");
  return [first, ...others];
}
