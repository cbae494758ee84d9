import { MAX_REPLICAS, type ServiceOutcome, type ServiceScale } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { invalidOptionError, parseTimeoutMs } from "../../options/parse-options.js";
import { printJson } from "../../output/print.js";
import { outcomeName } from "../../output/state-names.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { createProgressPrinter } from "../../wait/progress-printer.js";
import { waitForServices } from "../../wait/wait-for-services.js";

export interface ScaleOptions extends GlobalOptions {
  readonly detach?: boolean;
  readonly timeout: string;
}

/** `berth service scale SERVICE=REPLICAS…` */
export async function scaleServices(
  cli: Cli,
  options: ScaleOptions,
  scales: readonly string[],
): Promise<void> {
  const services = scales.map(parseScale);
  const timeoutMs = parseTimeoutMs(options.timeout);
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  await withClient(cli, options, async (client) => {
    const response = await retryDuringElection(cli, () =>
      client.scaleServices({ services }, { signal: cli.signal }),
    );
    // The server returns the services in the order of the request.
    response.services.forEach(({ name }, index) => {
      terminal.write(`${name} scaled to ${services[index]?.replicas}\n`);
    });
    if (!options.detach) {
      await waitForServices(cli, client, {
        services: response.services.map(({ serviceId, name, version }) => ({ id: serviceId, name, version })),
        timeoutMs,
        printer: createProgressPrinter(terminal, cli.now),
        operation: "scaling",
      });
    }
    if (isJson) printJson(cli, response.services.map(outcomeJson));
  });
}

function outcomeJson({ serviceId, name, kind, version }: ServiceOutcome): unknown {
  return { id: serviceId, name, outcome: outcomeName(kind), version };
}

/** Parses `shop_web=3`. */
function parseScale(text: string): ServiceScale {
  const [, service, count] = /^([^=]+)=(\d+)$/.exec(text) ?? [];
  const replicas = Number(count);
  if (service === undefined) {
    throw invalidOptionError(text, "use the form SERVICE=REPLICAS, such as shop_web=3");
  }
  if (replicas > MAX_REPLICAS) throw invalidOptionError(text, `the maximum is ${MAX_REPLICAS} replicas`);
  return { service, replicas };
}
