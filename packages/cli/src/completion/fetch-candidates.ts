import { type ControlClient, withClient } from "../client/client.js";
import { configPath, DEFAULT_CONTEXT, readContexts } from "../client/contexts.js";
import { modeName } from "../output/modes.js";
import { networkName } from "../output/networks.js";
import { nodeHostname } from "../output/nodes.js";
import { serviceName } from "../output/services.js";
import type { Cli, GlobalOptions } from "../process/cli.js";

export interface CandidatesRequest {
  /** Name of the argument in the grammar. */
  readonly argument: string;
  readonly globals: GlobalOptions;
  readonly timeoutMs: number;
}

/** Fetches the names that an argument of a command can have. */
export async function fetchCandidates(cli: Cli, request: CandidatesRequest): Promise<readonly string[]> {
  const { argument, globals, timeoutMs } = request;
  if (argument === "context") {
    const { contexts } = await readContexts(configPath(cli));
    return [DEFAULT_CONTEXT, ...Object.keys(contexts)];
  }
  const fetchAll = NAME_SOURCES.get(argument);
  if (fetchAll === undefined) return [];
  const signal = AbortSignal.any([cli.signal, AbortSignal.timeout(timeoutMs)]);
  return withClient(cli, globals, (client) => fetchAll(client, signal));
}

type NameSource = (client: ControlClient, signal: AbortSignal) => Promise<readonly string[]>;

const NAME_SOURCES: ReadonlyMap<string, NameSource> = new Map<string, NameSource>([
  ["stack", stackNames],
  ["service", serviceNames],
  ["service|task", serviceNames],
  ["service=replicas", scalePrefixes],
  ["node", nodeNames],
  ["network", networkNames],
]);

async function stackNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { services } = await client.listServices({ stack: "" }, { signal });
  const stacks = services.map(({ service }) => service?.spec?.stack ?? "");
  return [...new Set(stacks)].filter((stack) => stack !== "").sort();
}

async function serviceNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { services } = await client.listServices({ stack: "" }, { signal });
  return services.map(serviceName).sort();
}

async function scalePrefixes(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { services } = await client.listServices({ stack: "" }, { signal });
  const replicated = services.filter((summary) => modeName(summary) === "replicated");
  return replicated.map((summary) => `${serviceName(summary)}=`).sort();
}

async function nodeNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { nodes } = await client.listNodes({}, { signal });
  return nodes.map(nodeHostname).sort();
}

async function networkNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { networks } = await client.listNetworks({ stack: "" }, { signal });
  return networks.map(networkName).sort();
}
