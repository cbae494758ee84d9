import {
  BerthError,
  type FileOutcome,
  FileOutcome_Kind,
  fileKindName,
  type PutFileResponse,
  ServiceOutcome_Kind,
} from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { parseLabels, parseTimeoutMs } from "../../options/parse-options.js";
import { fileOutcomeJson } from "../../output/files.js";
import { printJson } from "../../output/print.js";
import { outcomeName } from "../../output/state-names.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { createProgressPrinter, SILENT_PRINTER } from "../../wait/progress-printer.js";
import { waitForServices } from "../../wait/wait-for-services.js";
import { type FileNoun, fileKindOf } from "./file-kind.js";
import { readContent } from "./read-content.js";

interface PutOptions extends GlobalOptions {
  readonly label?: readonly string[];
  readonly templateDriver?: string;
}

export interface CreateFileOptions extends PutOptions {
  readonly stack?: string;
}

export interface UpdateFileOptions extends PutOptions {
  readonly detach?: boolean;
  readonly quiet?: boolean;
  readonly timeout: string;
}

/** `berth secret create NAME FILE|-` and `berth config create NAME FILE|-` */
export function createFile(noun: FileNoun) {
  return async (cli: Cli, options: CreateFileOptions, name: string, path: string): Promise<void> => {
    const file = await readContent(cli, {
      noun,
      name,
      path,
      stack: options.stack ?? "",
      labels: parseLabels("--label", options.label ?? []),
      isTemplate: options.templateDriver !== undefined,
    });
    const request = { file, createOnly: true, updateOnly: false };
    const response = await withClient(cli, options, (client) =>
      retryDuringElection(cli, () => client.putFile(request, { signal: cli.signal })),
    );
    const outcome = requireOutcome(response, name);
    if (options.output === "json") {
      printJson(cli, fileOutcomeJson(outcome));
    } else {
      cli.stdout.write(`${name}\n`);
    }
  };
}

/**
 * `berth secret update NAME FILE|-` and `berth config update NAME FILE|-`: stores a new version, and waits for the
 * services that use it. Labels and the template driver stay as they are unless an option changes them.
 */
export function updateFile(noun: FileNoun) {
  return async (cli: Cli, options: UpdateFileOptions, name: string, path: string): Promise<void> => {
    const timeoutMs = parseTimeoutMs(options.timeout);
    const labels = parseLabels("--label", options.label ?? []);
    // Reads the content before connecting, so that a wrong path fails at once and a prompt comes first.
    const content = await readContent(cli, {
      noun,
      name,
      path,
      labels,
      stack: "",
      isTemplate: options.templateDriver !== undefined,
    });
    await withClient(cli, options, async (client) => {
      const { signal } = cli;
      const response = await retryDuringElection(cli, async () => {
        const { versions } = await client.getFile({ kind: fileKindOf(noun), name }, { signal });
        const [current] = versions;
        const file = {
          ...content,
          stack: current?.stack ?? "",
          labels: { ...current?.labels, ...labels },
          isTemplate: content.isTemplate || (current?.isTemplate ?? false),
        };
        return client.putFile({ file, createOnly: false, updateOnly: true }, { signal });
      });
      await waitForUpdate(cli, client, { response, name, options, timeoutMs });
    });
  };
}

interface FileUpdate {
  readonly response: PutFileResponse;
  readonly name: string;
  readonly options: UpdateFileOptions;
  readonly timeoutMs: number;
}

/** Prints the outcome of an update and, unless `--detach` is given, waits for the services that use the file. */
async function waitForUpdate(
  cli: Cli,
  client: ControlClient,
  { response, name, options, timeoutMs }: FileUpdate,
): Promise<void> {
  const outcome = requireOutcome(response, name);
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  const services = response.services.filter(({ kind }) => kind === ServiceOutcome_Kind.UPDATED);
  if (!options.quiet) {
    terminal.write(outcomeLine(outcome));
    for (const service of services) terminal.write(`Updating service ${service.name}\n`);
  }
  if (!options.detach && services.length > 0) {
    await waitForServices(cli, client, {
      services: services.map(({ serviceId: id, name: service, version }) => ({ id, name: service, version })),
      timeoutMs,
      printer: options.quiet ? SILENT_PRINTER : createProgressPrinter(terminal, cli.now),
      operation: `update of ${name}`,
    });
  }
  if (!isJson) return;
  printJson(cli, {
    ...fileOutcomeJson(outcome),
    services: services.map(({ serviceId, name: service, kind, version }) => ({
      id: serviceId,
      name: service,
      outcome: outcomeName(kind),
      version,
    })),
  });
}

function outcomeLine({ fileKind, name, kind, version }: FileOutcome): string {
  const state = kind === FileOutcome_Kind.UNCHANGED ? "unchanged" : "updated";
  const noun = fileKindName(fileKind);
  return `${noun.charAt(0).toUpperCase()}${noun.slice(1)} ${name} ${state}, version ${version}\n`;
}

/** @throws BerthError BERTH_PROTOCOL if the server returned no outcome. */
function requireOutcome({ outcome }: PutFileResponse, name: string): FileOutcome {
  if (outcome !== undefined) return outcome;
  const message = `the server returned no outcome for ${name}; check it with berth secret ls or berth config ls`;
  throw new BerthError({ code: "BERTH_PROTOCOL", message });
}
