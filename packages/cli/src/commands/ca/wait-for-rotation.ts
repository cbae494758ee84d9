import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, type ListAuthoritiesResponse } from "@berth/proto";
import type { ControlClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { authorityId } from "../../output/authorities.js";
import { progressLine } from "../../output/progress-line.js";
import { type Cli, InterruptedError, type Terminal } from "../../process/cli.js";
import { isRotationDone, type RotationProgress, rotationLine } from "./rotation-progress.js";

/** Interval between two queries. A rotation takes a few seconds, longer with many nodes. */
const POLL_INTERVAL_MS = 300;

export interface RotationWaitOptions {
  readonly fingerprint: string;
  readonly progressOf: (fingerprint: string, response: ListAuthoritiesResponse) => RotationProgress;
  readonly timeoutMs: number;
  readonly terminal: Terminal;
}

/**
 * Waits until a rotation is complete, and prints its progress. Returns all CAs.
 *
 * @throws BerthError BERTH_NOT_CONVERGED at the timeout, or if the new CA was removed
 */
export async function waitForRotation(
  cli: Cli,
  client: ControlClient,
  { fingerprint, progressOf, timeoutMs, terminal }: RotationWaitOptions,
): Promise<ListAuthoritiesResponse> {
  const deadlineMs = cli.now() + timeoutMs;
  const print = progressLine(terminal, cli.now);
  const id = authorityId({ fingerprint });
  try {
    for (;;) {
      const status = await retryDuringElection(cli, () => client.listAuthorities({}, { signal: cli.signal }));
      const progress = progressOf(fingerprint, status);
      const isLast = isRotationDone(progress) || progress.kind === "canceled" || cli.now() >= deadlineMs;
      print(rotationLine(progress), isLast);
      if (isRotationDone(progress)) return status;
      if (isLast) throw rotationError(id, progress, timeoutMs);
      await sleep(POLL_INTERVAL_MS, undefined, { signal: cli.signal });
    }
  } catch (error) {
    if (!cli.signal.aborted) throw error;
    throw new InterruptedError(
      `Stopped waiting. The rotation to CA ${id} continues in the background; check it with berth ca ls.`,
    );
  }
}

function rotationError(id: string, progress: RotationProgress, timeoutMs: number): BerthError {
  const state = rotationLine(progress);
  const message =
    progress.kind === "canceled"
      ? `the rotation to CA ${id} was canceled: ${state}`
      : `the rotation to CA ${id} has not finished within ${timeoutMs / 1_000} s (${state}): it continues in the background; check it with "berth ca ls"`;
  return new BerthError({ code: "BERTH_NOT_CONVERGED", message });
}
