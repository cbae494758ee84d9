import { isBerthError, type ServiceOutcome } from "@berth/proto";
import { type ControlClient, retryDuringElection, withClient } from "../../../client/client.js";
import { invalidOption, parseTimeoutMs } from "../../../options/parse-options.js";
import type { Cli, GlobalOptions } from "../../../process/cli.js";
import { requestRollback } from "../rollback.js";
import { requireOutcome, waitForChange } from "../wait-for-change.js";
import { applyFlags, type GivenFlags, hasFlags } from "./apply-flags.js";

export interface UpdateOptions extends GlobalOptions, GivenFlags {
  readonly force?: boolean;
  readonly rollback?: boolean;
  readonly detach?: boolean;
  readonly quiet?: boolean;
  readonly timeout: string;
}

/** Somebody else changed the service between our look and our change: look again, but not forever. */
const MAX_TRIES = 5;

/** `berth service update SERVICE` */
export async function updateService(cli: Cli, options: UpdateOptions, service: string): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  checkOptions(options);
  await withClient(cli, options, async (client) => {
    const outcome = options.rollback
      ? await requestRollback(cli, client, { service, toVersion: 0 })
      : await change(cli, client, { service, options });
    await waitForChange(cli, client, { outcome, options, timeoutMs });
  });
}

function checkOptions(options: UpdateOptions): void {
  const isChange = hasFlags(options) || options.force === true;
  if (options.rollback && isChange) throw invalidOption("--rollback", "it takes no other changes beside it");
  if (!options.rollback && !isChange) {
    throw invalidOption("service update", "nothing to change: give --image, --env-add, … or --force");
  }
}

interface ServiceChange {
  readonly service: string;
  readonly options: UpdateOptions;
}

/** Reads the service, changes what the flags say, and hands it back unless it is another by then. */
async function change(
  cli: Cli,
  client: ControlClient,
  { service, options }: ServiceChange,
): Promise<ServiceOutcome> {
  for (let tries = 1; ; tries += 1) {
    const found = await retryDuringElection(cli, () =>
      client.getService({ service }, { signal: cli.signal }),
    );
    const { id = "", spec, version = 0 } = found.service?.service ?? {};
    if (spec === undefined) throw new Error(`the server knows no spec of service ${service}`);
    const request = {
      service: id,
      spec: applyFlags(spec, options),
      expectedVersion: version,
      force: options.force ?? false,
    };
    try {
      const response = await retryDuringElection(cli, () =>
        client.updateService(request, { signal: cli.signal }),
      );
      return requireOutcome(response.service, service);
    } catch (error) {
      if (!isBerthError(error, "BERTH_CONFLICT") || tries >= MAX_TRIES) throw error;
    }
  }
}
