import { BerthError, type ServiceOutcome } from "@berth/proto";
import type { ControlClient } from "../../client/client.js";
import { printJson } from "../../output/print.js";
import { outcomeName } from "../../output/state-names.js";
import type { Cli, OutputFormat } from "../../process/cli.js";
import { createProgressPrinter, SILENT_PRINTER } from "../../wait/progress-printer.js";
import { waitForServices } from "../../wait/wait-for-services.js";

/** The options of commands that change one service. */
export interface ChangeOptions {
  readonly output?: OutputFormat;
  readonly detach?: boolean;
  readonly quiet?: boolean;
}

/** A change of a service that the leader has accepted. */
export interface ServiceChange {
  readonly outcome: ServiceOutcome;
  readonly options: ChangeOptions;
  readonly timeoutMs: number;
}

/** Prints the outcome of a change and, unless `--detach` is given, waits for the service to converge. */
export async function waitForChange(
  cli: Cli,
  client: ControlClient,
  { outcome, options, timeoutMs }: ServiceChange,
): Promise<void> {
  const { name, serviceId, version, kind } = outcome;
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  if (!options.quiet) terminal.write(`Service ${name} ${outcomeName(kind)}, version ${version}\n`);
  if (!options.detach) {
    await waitForServices(cli, client, {
      services: [{ id: serviceId, name, version }],
      timeoutMs,
      printer: options.quiet ? SILENT_PRINTER : createProgressPrinter(terminal, cli.now),
      operation: `update of ${name}`,
    });
  }
  if (isJson) printJson(cli, { id: serviceId, name, outcome: outcomeName(kind), version });
}

/** @throws BerthError BERTH_PROTOCOL if the server returned no outcome. */
export function requireOutcome(outcome: ServiceOutcome | undefined, service: string): ServiceOutcome {
  if (outcome !== undefined) return outcome;
  const message = `the server returned no outcome for ${service}; check it with berth service inspect`;
  throw new BerthError({ code: "BERTH_PROTOCOL", message });
}
