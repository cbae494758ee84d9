import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, isBerthError } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { isLeaderChange, retryDuringElection } from "../../client/leader-change.js";
import { parseTimeoutMs } from "../../options/parse-options.js";
import { printJson } from "../../output/print.js";
import { styled } from "../../output/style.js";
import { type Cli, type GlobalOptions, InterruptedError } from "../../process/cli.js";

/** Interval between two queries. A migration takes a second or two, mostly for the election. */
const POLL_INTERVAL_MS = 250;

export interface FinalizeOptions extends GlobalOptions {
  readonly detach?: boolean;
  readonly timeout: string;
}

/** `berth upgrade finalize`: raises the schema version, and waits until a leader has migrated all records. */
export async function finalizeUpgrade(cli: Cli, options: FinalizeOptions): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  await withClient(cli, options, async (client) => {
    const { from, to } = await retryDuringElection(cli, () =>
      client.finalizeUpgrade({}, { signal: cli.signal }),
    );
    if (from === to) {
      terminal.write(`Nothing to do: the records have schema ${to}, the newest of this release\n`);
    } else {
      terminal.write(`Raised the schema from ${from} to ${to}; the next leader migrates the records\n`);
      if (!options.detach) {
        await waitForSchema(cli, client, { version: to, timeoutMs });
        terminal.write(`${styled(cli, terminal, "green", "Finalized")}: all records have schema ${to}\n`);
      }
    }
    if (isJson) printJson(cli, { from, to });
  });
}

/**
 * Waits until a leader serves records with this schema version.
 *
 * @throws BerthError BERTH_NOT_CONVERGED at the timeout
 */
async function waitForSchema(
  cli: Cli,
  client: ControlClient,
  { version, timeoutMs }: { readonly version: number; readonly timeoutMs: number },
): Promise<void> {
  const deadlineMs = cli.now() + timeoutMs;
  try {
    while ((await readSchemaVersion(cli, client)) !== version) {
      if (cli.now() >= deadlineMs) throw migrationTimeoutError(version, timeoutMs);
      await sleep(POLL_INTERVAL_MS, undefined, { signal: cli.signal });
    }
  } catch (error) {
    if (!cli.signal.aborted) throw error;
    throw new InterruptedError(
      "Stopped waiting. The migration continues in the background; check it with berth version.",
    );
  }
}

/** Returns the version, or undefined while there is no leader. */
async function readSchemaVersion(cli: Cli, client: ControlClient): Promise<number | undefined> {
  try {
    return (await client.getCluster({}, { signal: cli.signal })).schemaVersion;
  } catch (error) {
    if (isLeaderChange(error) || isBerthError(error, "BERTH_DEADLINE")) return undefined;
    throw error;
  }
}

function migrationTimeoutError(version: number, timeoutMs: number): BerthError {
  return new BerthError({
    code: "BERTH_NOT_CONVERGED",
    message: `no leader serves records of schema ${version} after ${timeoutMs / 1_000} s: the migration continues in the background; see the logs of the servers`,
  });
}
