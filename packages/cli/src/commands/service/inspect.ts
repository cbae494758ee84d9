import type { Cli, GlobalOptions } from "../../cli.js";
import { withClient } from "../../client.js";
import { printJson } from "../../output/print.js";
import { prettyService, serviceDetails } from "../../output/service-details.js";

export interface InspectOptions extends GlobalOptions {
  readonly pretty?: boolean;
}

/** `berth service inspect SERVICE…` */
export async function inspectServices(
  cli: Cli,
  options: InspectOptions,
  services: readonly string[],
): Promise<void> {
  const found = await withClient(cli, options, (client) =>
    Promise.all(services.map((service) => client.getService({ service }, { signal: cli.signal }))),
  );
  const isPretty = options.pretty === true && options.output !== "json";
  if (isPretty) cli.stdout.write(found.map((one) => prettyService(one, cli.now())).join("\n"));
  else printJson(cli, found.map(serviceDetails));
}
