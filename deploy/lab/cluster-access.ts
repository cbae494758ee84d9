import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ControlServiceService, JoinKind, UserRole } from "@berth/proto";
import { type CallOptions, createRpcClient, type RpcClient } from "@berth/proto/rpc";
import { LabError } from "./lab-error.js";
import type { JoinAgent, RunBerth } from "./lab-options.js";
import type { Machine } from "./machine.js";
import type { RunResult } from "./run.js";
import type { ServerEndpoint } from "./server-endpoint.js";
import { scaleTimeout, waitUntil } from "./wait-until.js";

type Calls = RpcClient<typeof ControlServiceService>;

/** Timeout until a server reaches a leader. Includes the election of the first leader. */
const LEADER_TIMEOUT_MS = 30_000;
/** Timeout of a call to a server. */
const CALL_TIMEOUT_MS = 5_000;
/** Lifetime of tokens and invitations. The lab uses them at once. */
const CREDENTIAL_TTL_MS = 10 * 60_000;
/** Maximum number of attempts to join. On a busy machine, a join can miss its deadline. */
const MAX_JOIN_ATTEMPTS = 3;
/** Name of the context that the CLI uses unless another one is selected. */
const CONTEXT_NAME = "default";
const USER_NAME = "lab";

export interface JoinOptions {
  readonly machine: Machine;
  readonly program: "server" | "agent";
  /** Joins the agent in this process, instead of running `berth agent join`. */
  readonly joinAgent?: JoinAgent | undefined;
  /** Data directory of the program. */
  readonly dataDir: string;
  /** A server of the cluster. */
  readonly server: ServerEndpoint;
  /** The command that joins, run on the machine. It reads the token from standard input. */
  readonly command: readonly string[];
}

/**
 * Joins a machine's server or agent to the cluster with a new token, unless it has already joined.
 *
 * @throws the error of the last attempt: LabError LAB_NOT_READY with the command's output, or the error of `joinAgent`.
 */
export async function joinOnce(
  { machine, program, joinAgent, dataDir, server, command }: JoinOptions,
  signal?: AbortSignal,
): Promise<void> {
  if (await machine.exists(join(dataDir, "identity", "certificate.pem"))) return;
  await server.waitUntilHealthy(signal);
  for (let attempt = 1; ; attempt += 1) {
    const token = await createToken(server, program === "server" ? JoinKind.SERVER : JoinKind.NODE, signal);
    try {
      if (joinAgent === undefined) {
        const result = await machine.exec(command, { input: token, signal });
        requireSuccess(`berth ${program} join on ${machine.name}`, result);
      } else {
        await joinAgent({ address: server.address, dataDir, hostname: machine.name, token }, signal);
      }
      return;
    } catch (error) {
      if (attempt === MAX_JOIN_ATTEMPTS || signal?.aborted) throw error;
    }
  }
}

/** Creates a join token that can be used once. */
async function createToken(
  server: ServerEndpoint,
  kind: JoinKind,
  signal: AbortSignal | undefined,
): Promise<string> {
  const request = {
    kind,
    ttlMs: CREDENTIAL_TTL_MS,
    uses: 1,
    hostname: "",
    requiresApproval: false,
    labels: {},
    replaceOthers: false,
  };
  const { token } = await administer(
    server,
    (calls, options) => calls.createJoinToken(request, options),
    signal,
  );
  return token;
}

export interface ContextOptions {
  readonly configDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly runBerth: RunBerth;
}

/**
 * Creates the context with which the CLI on this machine administers the cluster.
 *
 * @param env environment of the CLI, with the directory of the context in `BERTH_CONFIG`
 * @throws LabError LAB_NOT_READY with the command's output.
 */
export async function createContext(
  servers: readonly ServerEndpoint[],
  { configDir, env, runBerth }: ContextOptions,
  signal?: AbortSignal,
): Promise<void> {
  const [first] = servers;
  if (first === undefined) return;
  await first.waitUntilHealthy(signal);
  const request = { name: USER_NAME, role: UserRole.ADMIN, stacks: "", ttlMs: CREDENTIAL_TTL_MS };
  const { invitation } = await administer(
    first,
    (calls, options) => calls.inviteUser(request, options),
    signal,
  );
  await mkdir(configDir, { recursive: true, mode: 0o700 });
  const addresses = servers.map(({ address }) => address).join(",");
  const command = ["context", "create", CONTEXT_NAME, "--server", addresses, "--invitation-file", "-"];
  requireSuccess("berth context create", await runBerth(command, { env, input: invitation, signal }));
}

/** Calls a server over its unix socket, which makes the caller an administrator. Retries until there is a leader. */
async function administer<T>(
  server: ServerEndpoint,
  call: (calls: Calls, options: CallOptions) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const { calls, close } = createRpcClient(ControlServiceService, { socket: server.socket });
  const options = { timeoutMs: scaleTimeout(CALL_TIMEOUT_MS), ...(signal && { signal }) };
  try {
    return await waitUntil(() => call(calls, options), {
      what: `${server.name} to reach a leader`,
      timeoutMs: LEADER_TIMEOUT_MS,
      signal,
      retryErrors: true,
    });
  } finally {
    close();
  }
}

function requireSuccess(commandName: string, { code, stdout, stderr }: RunResult): void {
  if (code === 0) return;
  throw new LabError(
    "LAB_NOT_READY",
    `${commandName} failed with exit code ${code}: ${(stderr || stdout).trim()}`,
  );
}
