import type { ServiceOutcome } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { invalidOptionError, parseTimeoutMs } from "../../options/parse-options.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { type ChangeOptions, requireOutcome, waitForChange } from "./wait-for-change.js";

export interface RollbackOptions extends GlobalOptions, ChangeOptions {
  readonly to?: string;
  readonly timeout: string;
}

/** `berth service rollback SERVICE` */
export async function rollbackService(cli: Cli, options: RollbackOptions, service: string): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  const toVersion = options.to === undefined ? 0 : parseVersion(options.to);
  await withClient(cli, options, async (client) => {
    const outcome = await requestRollback(cli, client, { service, toVersion });
    await waitForChange(cli, client, { outcome, options, timeoutMs });
  });
}

export interface RollbackRequest {
  readonly service: string;
  /** 0 means the newest healthy version other than the current one. */
  readonly toVersion: number;
}

/** Requests a rollback and prints the version that is restored. */
export async function requestRollback(
  cli: Cli,
  client: ControlClient,
  { service, toVersion }: RollbackRequest,
): Promise<ServiceOutcome> {
  const request = { service, toVersion };
  const response = await retryDuringElection(cli, () =>
    client.rollbackService(request, { signal: cli.signal }),
  );
  const outcome = requireOutcome(response.service, service);
  cli.stderr.write(`Rolling ${outcome.name} back to version ${response.restoredVersion}\n`);
  return outcome;
}

function parseVersion(text: string): number {
  const version = Number(text);
  if (/^\d+$/.test(text) && version >= 1 && Number.isSafeInteger(version)) return version;
  throw invalidOptionError("--to", `${JSON.stringify(text)} is not a version number`);
}
