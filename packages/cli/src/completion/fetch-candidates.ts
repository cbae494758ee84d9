import { FileKind } from "@berth/proto";
import { type ControlClient, withClient } from "../client/client.js";
import { configPath, DEFAULT_CONTEXT, readContexts } from "../client/contexts.js";
import { authorityId } from "../output/authorities.js";
import { modeName } from "../output/modes.js";
import { networkName } from "../output/networks.js";
import { nodeHostname } from "../output/nodes.js";
import { serviceName } from "../output/services.js";
import type { Cli, GlobalOptions } from "../process/cli.js";

export interface CandidatesRequest {
  /** Name of the argument in the grammar of the command line, such as `service`. */
  readonly argument: string;
  /** The global options before the word, which select the server. */
  readonly globals: GlobalOptions;
  readonly timeoutMs: number;
}

/**
 * Fetches the candidates for shell completion of a command's argument: contexts from the configuration file, and names of
 * stacks, services, nodes, servers, networks, volumes, secrets, configs, join tokens, users and CAs from the server. Returns none for any
 * other argument.
 */
export async function fetchCandidates(cli: Cli, request: CandidatesRequest): Promise<readonly string[]> {
  const { argument, globals, timeoutMs } = request;
  if (argument === "context") {
    const { contexts } = await readContexts(configPath(cli));
    return [DEFAULT_CONTEXT, ...Object.keys(contexts)];
  }
  const fetchNames = CANDIDATE_SOURCES.get(argument);
  if (fetchNames === undefined) return [];
  const signal = AbortSignal.any([cli.signal, AbortSignal.timeout(timeoutMs)]);
  return withClient(cli, globals, (client) => fetchNames(client, signal), { updatesContext: false });
}

/** Fetches all candidates of one kind. */
type CandidateSource = (client: ControlClient, signal: AbortSignal) => Promise<readonly string[]>;

const CANDIDATE_SOURCES: ReadonlyMap<string, CandidateSource> = new Map<string, CandidateSource>([
  ["stack", fetchStackNames],
  ["service", fetchServiceNames],
  ["service|task", fetchServiceNames],
  ["service=replicas", fetchScaleArguments],
  ["node", fetchNodeNames],
  ["user@host|node", fetchNodeNames],
  ["network", fetchNetworkNames],
  ["volume", fetchVolumeNames],
  ["secret", (client, signal) => fetchFileNames(client, signal, FileKind.SECRET)],
  ["config", (client, signal) => fetchFileNames(client, signal, FileKind.CONFIG)],
  ["token", fetchTokenIds],
  ["user", fetchUserNames],
  ["ca", fetchAuthorityIds],
  ["server", fetchServerNames],
]);

async function fetchStackNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { services } = await client.listServices({ stack: "" }, { signal });
  const stacks = services.map(({ service }) => service?.spec?.stack ?? "");
  return [...new Set(stacks)].filter((stack) => stack !== "").sort();
}

async function fetchServiceNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { services } = await client.listServices({ stack: "" }, { signal });
  return services.map(serviceName).sort();
}

/** Returns `shop_web=` for each service that `berth service scale` accepts. */
async function fetchScaleArguments(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { services } = await client.listServices({ stack: "" }, { signal });
  const replicated = services.filter((summary) => modeName(summary) === "replicated");
  return replicated.map((summary) => `${serviceName(summary)}=`).sort();
}

async function fetchNodeNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { nodes } = await client.listNodes({}, { signal });
  return nodes.map(nodeHostname).sort();
}

async function fetchNetworkNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { networks } = await client.listNetworks({ stack: "" }, { signal });
  return networks.map(networkName).sort();
}

async function fetchVolumeNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { nodes } = await client.listVolumes({ node: "", name: "" }, { signal });
  return [...new Set(nodes.flatMap(({ volumes }) => volumes.map(({ name }) => name)))].sort();
}

async function fetchServerNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { servers } = await client.listServers({}, { signal });
  return servers.map(({ server }) => server?.hostname ?? "").sort();
}

async function fetchFileNames(
  client: ControlClient,
  signal: AbortSignal,
  kind: FileKind,
): Promise<readonly string[]> {
  const { files } = await client.listFiles({ kind, stack: "" }, { signal });
  return files.map(({ name }) => name).sort();
}

async function fetchTokenIds(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { tokens } = await client.listJoinTokens({}, { signal });
  return tokens.map(({ id }) => id).sort();
}

async function fetchAuthorityIds(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { authorities } = await client.listAuthorities({}, { signal });
  return authorities.map(authorityId).sort();
}

async function fetchUserNames(client: ControlClient, signal: AbortSignal): Promise<readonly string[]> {
  const { users } = await client.listUsers({}, { signal });
  return users.map(({ name }) => name).sort();
}
