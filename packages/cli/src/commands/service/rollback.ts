import type { ServiceOutcome } from "@berth/proto";
import { type ControlClient, retryDuringElection, withClient } from "../../client/client.js";
import { invalidOption, parseTimeoutMs } from "../../options/parse-options.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { type FollowOptions, requireOutcome, waitForChange } from "./wait-for-change.js";

export interface RollbackOptions extends GlobalOptions, FollowOptions {
  readonly to?: string;
  readonly timeout: string;
}

/** `berth service rollback SERVICE` */
export async function rollbackService(cli: Cli, options: RollbackOptions, service: string): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  const toVersion = options.to === undefined ? 0 : versionOf(options.to);
  await withClient(cli, options, async (client) => {
    const outcome = await requestRollback(cli, client, { service, toVersion });
    await waitForChange(cli, client, { outcome, options, timeoutMs });
  });
}

export interface Rollback {
  readonly service: string;
  /** 0: the newest version that ran well and is not the present one. */
  readonly toVersion: number;
}

/** Asks for the rollback, and says which version the service has again. */
export async function requestRollback(
  cli: Cli,
  client: ControlClient,
  { service, toVersion }: Rollback,
): Promise<ServiceOutcome> {
  const request = { service, toVersion };
  const response = await retryDuringElection(cli, () =>
    client.rollbackService(request, { signal: cli.signal }),
  );
  const outcome = requireOutcome(response.service, service);
  cli.stderr.write(`Rolling ${outcome.name} back to version ${response.restoredVersion}\n`);
  return outcome;
}

function versionOf(text: string): number {
  const version = Number(text);
  if (/^\d+$/.test(text) && version >= 1 && Number.isSafeInteger(version)) return version;
  throw invalidOption("--to", `${JSON.stringify(text)} is not a version: a number from 1`);
}
