import { RemoveServicesRequest, type ServiceOutcome } from "@berth/proto";
import type { ControlClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { parseTimeoutMs } from "../../options/parse-options.js";
import { fileOutcomeLines } from "../../output/files.js";
import { networkOutcomeLines } from "../../output/networks.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { createProgressPrinter } from "../../wait/progress-printer.js";
import { waitForServices } from "../../wait/wait-for-services.js";

export interface RemoveOptions extends GlobalOptions {
  readonly detach?: boolean;
  readonly timeout: string;
}

export interface ServiceRemoval {
  readonly options: RemoveOptions;
  readonly requests: readonly Partial<RemoveServicesRequest>[];
}

/** Removes services, and waits until their last task is gone unless `--detach` is given. */
export async function removeServices(
  cli: Cli,
  client: ControlClient,
  { options, requests }: ServiceRemoval,
): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  const removed: ServiceOutcome[] = [];
  for (const request of requests) {
    const fullRequest = RemoveServicesRequest.fromPartial(request);
    const { services, networks, files } = await retryDuringElection(cli, () =>
      client.removeServices(fullRequest, { signal: cli.signal }),
    );
    for (const { name } of services) terminal.write(`Removing service ${name}\n`);
    terminal.write(networkOutcomeLines(networks) + fileOutcomeLines(files));
    removed.push(...services);
  }
  const removedServices = removed.map(({ serviceId, name }) => ({ id: serviceId, name }));
  if (!options.detach && removedServices.length > 0) {
    await waitForServices(cli, client, {
      services: removedServices,
      timeoutMs,
      printer: createProgressPrinter(terminal, cli.now),
      operation: "removal",
    });
  }
  if (isJson) printJson(cli, { removed: removedServices });
}
