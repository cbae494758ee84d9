import { scaleTiming } from "@berth/proto";
import { RotatingIdentity, tlsMaterialOf } from "@berth/proto/rpc";
import type { Cli, GlobalOptions } from "../process/cli.js";
import { socketPathOf } from "./addresses.js";
import { type ContextIdentity, loadContextIdentity } from "./context-identity.js";
import { type ControlClient, type ControlServer, connectTo } from "./control-connection.js";
import { expiredError, explainIdentityError } from "./explain-identity.js";
import { createFailoverClient } from "./failover-client.js";
import { retryDuringElection } from "./leader-change.js";
import { saveListedServers } from "./listed-servers.js";
import { renewalStateOf, renewContextIdentity } from "./renew-identity.js";
import { type LocalTarget, type NonEmpty, type RemoteTarget, resolveTarget } from "./resolve-target.js";

export type { ControlClient } from "./control-connection.js";

export interface ClientOptions {
  /**
   * Whether to renew a certificate after half of its validity and to update the servers of the context. False for shell
   * completion, because the shell waits for the process.
   */
  readonly updatesContext?: boolean;
}

/** Maximum time for which the process outlives its command when no server responds. */
const UPDATE_TIMEOUT_MS = 2_000;
/** Timeout for the renewal of an expired certificate, which must succeed before the command runs. */
const REQUIRED_RENEWAL_TIMEOUT_MS = scaleTiming(10_000);

/**
 * Connects to the servers of the cluster, calls `run` with the client, then closes the connection. Once `run` has
 * succeeded, a certificate that is due for renewal is renewed in the background. The addresses of the cluster's servers
 * are saved in the context together with such a renewal, and when the first server did not respond.
 */
export async function withClient<T>(
  cli: Cli,
  options: GlobalOptions,
  run: (client: ControlClient) => Promise<T>,
  { updatesContext = true }: ClientOptions = {},
): Promise<T> {
  const target = await resolveTarget(cli, options);
  let identity: ContextIdentity | undefined;
  try {
    if (target.kind === "local") return await runAndClose(connectLocally(target), run);
    identity = await loadContextIdentity(target.identity);
    return await runWithIdentity(cli, { target, identity, updatesContext }, run);
  } catch (error) {
    throw await explainIdentityError(error, { target, identity, nowMs: cli.now() });
  }
}

interface IdentifiedTarget {
  readonly target: RemoteTarget;
  readonly identity: ContextIdentity;
  readonly updatesContext: boolean;
}

async function runWithIdentity<T>(
  cli: Cli,
  { target, identity, updatesContext }: IdentifiedTarget,
  run: (client: ControlClient) => Promise<T>,
): Promise<T> {
  const { now, signal } = cli;
  const state = renewalStateOf(identity, now());
  if (state.kind === "expired") throw expiredError(identity, now());
  const rotatingIdentity = new RotatingIdentity(tlsMaterialOf(identity.files));
  const connection = connectRemotely(target, rotatingIdentity);
  const renew = async (timeoutMs: number): Promise<void> => {
    const options = { calls: connection.calls, timeoutMs, now, signal };
    const renewed = await renewContextIdentity(identity, options);
    rotatingIdentity.update(tlsMaterialOf(renewed.files));
  };
  const updateContext = async (): Promise<void> => {
    const updates: Promise<void>[] = [];
    const isDue = state.kind === "due";
    if (isDue) updates.push(renew(UPDATE_TIMEOUT_MS));
    if (target.isFromContext && (isDue || connection.hasSkippedServer)) {
      const options = { calls: connection.calls, timeoutMs: UPDATE_TIMEOUT_MS, signal };
      updates.push(saveListedServers(cli, target, options));
    }
    await Promise.allSettled(updates);
  };
  const runOnceValid = async (calls: ControlClient): Promise<T> => {
    if (state.kind === "grace") await retryDuringElection(cli, () => renew(REQUIRED_RENEWAL_TIMEOUT_MS));
    return run(calls);
  };
  return runAndClose(connection, runOnceValid, updatesContext ? updateContext : undefined);
}

interface Connection {
  readonly calls: ControlClient;
  /** Whether the client uses a server other than the first one. */
  readonly hasSkippedServer: boolean;
  /** Starts to connect ahead of the first call. */
  connect(): void;
  close(): void;
}

/**
 * Runs a command and closes its connection. Connects while the command prepares its first call, for example while it
 * asks the local Docker daemon for images. Once the command has succeeded, runs `afterwards` in the background and
 * closes the connection after it.
 */
async function runAndClose<T>(
  connection: Connection,
  run: (client: ControlClient) => Promise<T>,
  afterwards?: () => Promise<void>,
): Promise<T> {
  const close = (): void => connection.close();
  let background: Promise<void> | undefined;
  connection.connect();
  try {
    const result = await run(connection.calls);
    background = afterwards?.();
    return result;
  } finally {
    if (background === undefined) {
      close();
    } else {
      // A failure does not affect the command. The next command retries; half of the validity is left.
      background.then(close, close);
    }
  }
}

function connectLocally({ sockets: [first, ...others] }: LocalTarget): Connection {
  return connect([{ socket: first }, ...others.map((socket) => ({ socket }))]);
}

function connectRemotely(
  { addresses: [first, ...others] }: RemoteTarget,
  identity: RotatingIdentity,
): Connection {
  const serverAt = (address: string): ControlServer => {
    const socket = socketPathOf(address);
    return socket === undefined ? { address, identity } : { socket };
  };
  return connect([serverAt(first), ...others.map(serverAt)]);
}

function connect([first, ...others]: NonEmpty<ControlServer>): Connection {
  if (others.length > 0) return createFailoverClient([first, ...others]);
  const { calls, connect: connectAhead, close } = connectTo(first);
  return { calls, connect: connectAhead, close, hasSkippedServer: false };
}
