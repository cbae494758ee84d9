import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, isBerthError } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { isLeaderChange, retryDuringElection } from "../../client/leader-change.js";
import { parseTimeoutMs } from "../../options/parse-options.js";
import { printJson, printWarning } from "../../output/print.js";
import { type Cli, type GlobalOptions, InterruptedError } from "../../process/cli.js";

/** Interval between two queries. A removal takes about a second. */
const POLL_INTERVAL_MS = 300;

/** Time without a response from any server after which the command stops waiting. An election takes a few seconds. */
const UNREACHABLE_TIMEOUT_MS = 10_000;

export interface ServerRemoveOptions extends GlobalOptions {
  readonly force?: boolean;
  readonly detach?: boolean;
  readonly timeout: string;
}

/** `berth server rm SERVER`: revokes the identity of a server, and waits until its etcd member is removed. */
export async function removeServer(cli: Cli, options: ServerRemoveOptions, server: string): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  const { force = false, detach = false } = options;
  const serverId = await withClient(cli, options, async (client) => {
    const removed = await retryDuringElection(cli, () =>
      client.removeServer({ server, force }, { signal: cli.signal }),
    );
    if (!detach) await waitForRemoval(cli, client, { id: removed.serverId, server, timeoutMs });
    return removed.serverId;
  });
  if (options.output === "json") {
    printJson(cli, { removed: serverId });
  } else {
    cli.stdout.write(`${server}\n`);
  }
}

export interface RemovalWaitOptions {
  readonly id: string;
  /** The server as the user specified it. */
  readonly server: string;
  readonly timeoutMs: number;
}

/**
 * Waits until the server is no longer listed.
 *
 * @throws BerthError BERTH_NOT_CONVERGED at the timeout
 */
export async function waitForRemoval(
  cli: Cli,
  client: ControlClient,
  { id, server, timeoutMs }: RemovalWaitOptions,
): Promise<void> {
  const deadlineMs = cli.now() + timeoutMs;
  let respondedAtMs = cli.now();
  cli.stderr.write(`Removing server ${server}\n`);
  for (;;) {
    try {
      const { servers } = await client.listServers({}, { signal: cli.signal });
      if (!servers.some((each) => each.server?.id === id)) return;
      respondedAtMs = cli.now();
    } catch (error) {
      if (cli.signal.aborted) throw interruptedError(server);
      if (!isTransient(error)) throw error;
      if (cli.now() - respondedAtMs > UNREACHABLE_TIMEOUT_MS) {
        printWarning(
          cli,
          `server ${server} is stopping, and no other server of this context responds: the removal continues in the background; check it with "berth server ls" on another server`,
        );
        return;
      }
    }
    if (cli.now() >= deadlineMs) throw removalTimeoutError(server, timeoutMs);
    await sleep(POLL_INTERVAL_MS, undefined, { signal: cli.signal }).catch(() => {
      throw interruptedError(server);
    });
  }
}

/** Returns whether a call can succeed later, or on another server. The removed server may not forward calls. */
function isTransient(error: unknown): boolean {
  return isLeaderChange(error) || isBerthError(error, "BERTH_UNAUTHENTICATED");
}

function interruptedError(server: string): InterruptedError {
  return new InterruptedError(
    `Stopped waiting. The removal of server ${server} continues in the background; check it with berth server ls.`,
  );
}

function removalTimeoutError(server: string, timeoutMs: number): BerthError {
  return new BerthError({
    code: "BERTH_NOT_CONVERGED",
    message: `server ${server} is revoked, but its etcd member was not removed within ${timeoutMs / 1_000} s: the removal continues in the background; check it with "berth server ls"`,
  });
}
