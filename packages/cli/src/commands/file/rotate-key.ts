import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, type GetClusterKeyResponse, ClusterKeyState_Phase as Phase } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { parseTimeoutMs } from "../../options/parse-options.js";
import { pluralize } from "../../output/human.js";
import { printJson } from "../../output/print.js";
import { progressLine } from "../../output/progress-line.js";
import { styled } from "../../output/style.js";
import { type Cli, type GlobalOptions, InterruptedError, type Terminal } from "../../process/cli.js";

export interface RotateKeyOptions extends GlobalOptions {
  readonly detach?: boolean;
  readonly status?: boolean;
  readonly timeout: string;
}

/** Interval between two queries. A rotation takes about a second, longer with many large secrets. */
const POLL_INTERVAL_MS = 200;
const SHORT_ID_LENGTH = 12;

/** `berth secret rotate-key`: replaces the cluster key, and waits until all servers have deleted the earlier one. */
export async function rotateClusterKey(cli: Cli, options: RotateKeyOptions): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  await withClient(cli, options, async (client) => {
    if (options.status) {
      const key = await readKey(cli, client);
      if (isJson) {
        printJson(cli, keyJson(key));
      } else {
        terminal.write(`cluster key ${shortId(key.state?.currentId ?? "")}: ${statusLine(key)}\n`);
      }
      return;
    }
    const { id } = await retryDuringElection(cli, () => client.rotateClusterKey({}, { signal: cli.signal }));
    if (options.detach) {
      if (isJson) {
        printJson(cli, { id });
      } else {
        terminal.write(`${shortId(id)}\n`);
      }
      return;
    }
    terminal.write(`Created cluster key ${shortId(id)}\n`);
    const key = await waitForKey(cli, client, { id, timeoutMs, terminal });
    terminal.write(`${styled(cli, terminal, "green", "Rotated")} to cluster key ${shortId(id)}\n`);
    if (isJson) printJson(cli, { id, ...keyJson(key) });
  });
}

interface KeyWaitOptions {
  readonly id: string;
  readonly timeoutMs: number;
  readonly terminal: Terminal;
}

/**
 * Waits until the servers have only the new key, and prints the progress.
 *
 * @throws BerthError BERTH_NOT_CONVERGED at the timeout, or if the rotation was abandoned
 */
async function waitForKey(
  cli: Cli,
  client: ControlClient,
  { id, timeoutMs, terminal }: KeyWaitOptions,
): Promise<GetClusterKeyResponse> {
  const deadlineMs = cli.now() + timeoutMs;
  const print = progressLine(terminal, cli.now);
  try {
    for (;;) {
      const key = await readKey(cli, client);
      const isCurrent = key.state?.currentId === id;
      const isAbandoned = !isCurrent && key.state?.nextId !== id;
      const isDone = isCurrent && key.waitingFor.length === 0;
      const isLast = isDone || isAbandoned || cli.now() >= deadlineMs;
      if (!isAbandoned) print(statusLine(key), isLast);
      if (isDone) return key;
      if (isLast) throw rotationError(id, isAbandoned ? undefined : statusLine(key), timeoutMs);
      await sleep(POLL_INTERVAL_MS, undefined, { signal: cli.signal });
    }
  } catch (error) {
    if (!cli.signal.aborted) throw error;
    throw new InterruptedError(
      "Stopped waiting. The rotation of the cluster key continues in the background; check it with berth secret rotate-key --status.",
    );
  }
}

function readKey(cli: Cli, client: ControlClient): Promise<GetClusterKeyResponse> {
  return retryDuringElection(cli, () => client.getClusterKey({}, { signal: cli.signal }));
}

/** Returns the progress of a rotation as one line. */
function statusLine({ state, waitingFor, records, recordsSealed }: GetClusterKeyResponse): string {
  const servers = waitingFor.join(", ");
  switch (state?.phase) {
    case Phase.DISTRIBUTING:
      return servers === ""
        ? "all servers have the next key"
        : `waiting for servers to get the next key: ${servers}`;
    case Phase.SEALING:
      return `${recordsSealed} of ${pluralize(records, "record")} re-encrypted`;
    default:
      return servers === ""
        ? "all servers have only this key"
        : `waiting for servers to delete the earlier key: ${servers}`;
  }
}

function keyJson({
  state,
  waitingFor,
  records,
  recordsSealed,
}: GetClusterKeyResponse): Record<string, unknown> {
  const { currentId = "", nextId = "", phase = Phase.UNSPECIFIED } = state ?? {};
  return { currentId, nextId, phase: phaseName(phase), waitingFor, records, recordsSealed };
}

function phaseName(phase: Phase): string {
  switch (phase) {
    case Phase.DISTRIBUTING:
      return "distributing";
    case Phase.SEALING:
      return "sealing";
    case Phase.UNSPECIFIED:
      return "none";
  }
}

function shortId(id: string): string {
  return id.slice(0, SHORT_ID_LENGTH);
}

function rotationError(id: string, status: string | undefined, timeoutMs: number): BerthError {
  const subject = `the rotation to cluster key ${shortId(id)}`;
  return new BerthError({
    code: "BERTH_NOT_CONVERGED",
    message:
      status === undefined
        ? `${subject} was abandoned: no running server has the key, and nothing was encrypted with it; run the command again`
        : `${subject} has not finished within ${timeoutMs / 1_000} s (${status}): it continues in the background; check it with "berth secret rotate-key --status"`,
  });
}
