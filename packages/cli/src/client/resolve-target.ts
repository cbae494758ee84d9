import { BerthError } from "@berth/proto";
import type { Cli, GlobalOptions } from "../process/cli.js";
import { parseServerAddresses, socketPathOf } from "./addresses.js";
import {
  type ContextConfig,
  configPath,
  DEFAULT_CONTEXT,
  type IdentityLocation,
  identityOf,
  readContexts,
} from "./contexts.js";
import { missingIdentityError } from "./explain-identity.js";

export type NonEmpty<T> = readonly [T, ...T[]];

/** The servers that a command connects to, and its identity. */
export type ConnectionTarget = LocalTarget | RemoteTarget;

/** Servers on this host, which need no identity. */
export interface LocalTarget {
  readonly kind: "local";
  /** Paths of Unix sockets. */
  readonly sockets: NonEmpty<string>;
}

export interface RemoteTarget {
  readonly kind: "remote";
  /** `HOST:PORT`; Unix sockets are also possible. */
  readonly addresses: NonEmpty<string>;
  readonly identity: IdentityLocation;
  /** Whether the addresses come from the context, not from `--server` or `BERTH_SERVER`. */
  readonly isFromContext: boolean;
}

/**
 * Returns the servers from `--server`, `BERTH_SERVER` or the current context, in this order, and the identity of the
 * current context. Without any of them, the target is the socket of a server on this host.
 *
 * @throws BerthError BERTH_UNAUTHENTICATED if an address needs an identity and the current context has none
 */
export async function resolveTarget(cli: Cli, options: GlobalOptions): Promise<ConnectionTarget> {
  const explicit = options.server ?? cli.env.BERTH_SERVER;
  if (explicit !== undefined && explicit !== "") {
    const addresses = parseServerAddresses(explicit);
    return localTarget(addresses) ?? remoteTarget(cli, await readContexts(configPath(cli)), addresses);
  }
  const config = await readContexts(configPath(cli));
  const saved = config.contexts[config.current];
  if (saved !== undefined) {
    const addresses = parseServerAddresses(saved.server);
    return localTarget(addresses) ?? remoteTarget(cli, config, addresses);
  }
  if (config.current === DEFAULT_CONTEXT) return { kind: "local", sockets: [cli.serverSocket] };
  const message = `no such context: ${config.current}; select another one with berth context use NAME`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
}

/** Returns the target if all addresses of a normalized list are Unix sockets. */
export function localTarget(addresses: string): LocalTarget | undefined {
  const [first, ...others] = addresses.split(",").map(socketPathOf);
  const sockets = others.filter((socket) => socket !== undefined);
  if (first === undefined || sockets.length < others.length) return undefined;
  return { kind: "local", sockets: [first, ...sockets] };
}

/** Returns the addresses of a target, separated by commas. */
export function formatTarget(target: ConnectionTarget): string {
  const addresses = target.kind === "local" ? target.sockets.map((path) => `unix:${path}`) : target.addresses;
  return addresses.join(",");
}

function remoteTarget(cli: Cli, config: ContextConfig, addresses: string): RemoteTarget {
  const identity = identityOf(config, cli);
  if (identity === undefined) throw missingIdentityError(config.current, addresses);
  const [first = "", ...others] = addresses.split(",");
  const isFromContext = addresses === identity.server;
  return { kind: "remote", addresses: [first, ...others], identity, isFromContext };
}
