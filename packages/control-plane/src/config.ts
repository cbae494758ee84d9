import { isIP } from "node:net";
import { BERTH_VERSION, BerthError, parseSubnet, subnetProblem } from "@berth/proto";
import { Command, CommanderError, Option } from "commander";
import { DEFAULT_NETWORK_POOL, type NetworkPool } from "./core/allocator/address-pool.js";
import { DEFAULT_FLOOD_LIMIT } from "./core/allocator/dns-entries.js";
import type { EtcdCluster } from "./store/embedded/cluster.js";

/** What `berth server` was told. */
export interface ServerConfig {
  /** "host:port" for gRPC. */
  readonly listen: string;
  /** "host:port" for /healthz and /metrics. */
  readonly http: string;
  /** "host:port" where agents and other servers reach this one; undefined: where it listens. */
  readonly advertise: string | undefined;
  readonly dataDir: string;
  /** URLs of an etcd that somebody else runs; undefined: one of our own. */
  readonly etcd: readonly [string, ...string[]] | undefined;
  /** The servers whose embedded etcds are one cluster; undefined: this server's etcd is alone. */
  readonly etcdCluster: EtcdCluster | undefined;
  readonly logLevel: string;
  /** Tasks move onto a node that came back once it was up for so long; undefined: only when somebody asks. */
  readonly autoRebalanceMs: number | undefined;
  /** Where networks over hosts get their addresses. */
  readonly networkPool: NetworkPool;
  /** Hosts that a network may have before they are told where its containers are. */
  readonly floodLimit: number;
}

/** Either a configuration, or text for the terminal (`--help`, `--version`). */
export type ParsedArguments =
  | { readonly kind: "config"; readonly config: ServerConfig }
  | { readonly kind: "text"; readonly text: string };

const EXAMPLES = `
Examples:
  $ berth server --listen 10.0.0.1:7400
  $ berth server --listen 0.0.0.0:7400 --advertise 10.0.0.1:7400
  $ berth server --listen 10.0.0.1:7400 --etcd http://10.0.0.5:2379

Three servers, any one of which may be lost, start with the same list:
  $ berth server --listen 10.0.0.1:7400 --etcd-cluster 10.0.0.1,10.0.0.2,10.0.0.3
Their etcds talk to each other on ports 7403 and 7404, without encryption:
the network between them must be trusted.
`;
const LOG_LEVELS = ["error", "warn", "info", "debug"];
const HOST_PORT = /^(\[[0-9a-fA-F:.]+\]|[^:\s[\]]+):([0-9]{1,5})$/;
const MAX_PORT = 65_535;
/** etcd's own advice: more members make every write slower and losses no more bearable. */
const MAX_ETCD_MEMBERS = 7;
/** With less there are only a few hosts, of some ten containers each. */
const MAX_NETWORK_PREFIX = 24;

/**
 * Reads the command line and BERTH_* variables, flags first.
 * @throws BerthError BERTH_INPUT_INVALID with everything that is wrong
 */
export function parseArguments(argv: readonly string[], env: Readonly<NodeJS.ProcessEnv>): ParsedArguments {
  let text = "";
  const command = serverCommand(env).configureOutput({
    writeOut: (out) => {
      text += out;
    },
    writeErr: () => {},
  });
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: "text", text };
    throw invalid([error.message.replace(/^error: /, "")]);
  }
  return { kind: "config", config: validated(command.opts<RawOptions>()) };
}

interface RawOptions {
  readonly listen: string;
  readonly http: string;
  readonly advertise?: string;
  readonly dataDir: string;
  readonly etcd?: string;
  readonly etcdCluster?: string;
  readonly logLevel: string;
  readonly autoRebalance?: string;
  readonly networkPool: string;
  readonly networkPrefix: string;
  readonly networkFloodHosts: string;
}

function serverCommand(env: Readonly<NodeJS.ProcessEnv>): Command {
  const command = new Command("berth server")
    .description("Keeps the desired state of a cluster and tells its agents what to run.")
    .version(BERTH_VERSION, "--version")
    .addHelpText("after", EXAMPLES)
    .exitOverride();
  const add = (flags: string, description: string, variable: string, fallback?: string): void => {
    const option = new Option(flags, `${description} [${variable}]`);
    const value = env[variable] || fallback;
    if (value !== undefined) option.default(value);
    command.addOption(option);
  };
  add("--listen <host:port>", "address for agents and the command line", "BERTH_LISTEN", "127.0.0.1:7400");
  add("--http <host:port>", "address for /healthz and /metrics", "BERTH_HTTP", "127.0.0.1:7401");
  add(
    "--advertise <host:port>",
    "where others reach this server, if not where it listens",
    "BERTH_ADVERTISE",
  );
  add("--data-dir <folder>", "data of the embedded etcd", "BERTH_DATA_DIR", "/var/lib/berth/server");
  add("--etcd <url,...>", "use this etcd instead of an embedded one", "BERTH_ETCD");
  add(
    "--etcd-cluster <address,...>",
    "all servers whose embedded etcds are one cluster, this one among them",
    "BERTH_ETCD_CLUSTER",
  );
  add(
    "--auto-rebalance <duration>",
    "move tasks onto a node that came back once it was up for so long, such as 10m",
    "BERTH_AUTO_REBALANCE",
  );
  add(
    "--network-pool <subnet>",
    "addresses of networks that span hosts, which no host reaches by other ways",
    "BERTH_NETWORK_POOL",
    "10.64.0.0/10",
  );
  add("--network-prefix <bits>", "prefix of each network in that pool", "BERTH_NETWORK_PREFIX", "18");
  add(
    "--network-flood-hosts <count>",
    "hosts that a network may have before each is told where its containers are; the same on all servers",
    "BERTH_NETWORK_FLOOD_HOSTS",
    String(DEFAULT_FLOOD_LIMIT),
  );
  add("--log-level <level>", LOG_LEVELS.join(", "), "BERTH_LOG_LEVEL", "info");
  return command;
}

function validated(raw: RawOptions): ServerConfig {
  const problems: string[] = [];
  const checkAddress = (flag: string, value: string, minPort: number): void => {
    const port = Number(HOST_PORT.exec(value)?.[2] ?? -1);
    if (port >= minPort && port <= MAX_PORT) return;
    problems.push(`${flag} ${JSON.stringify(value)} is not HOST:PORT`);
  };
  checkAddress("--listen", raw.listen, 0);
  checkAddress("--http", raw.http, 0);
  if (raw.advertise !== undefined) checkAddress("--advertise", raw.advertise, 1);
  if (raw.advertise === undefined && /^(0\.0\.0\.0|\[::\]):/.test(raw.listen)) {
    problems.push(
      `--listen ${raw.listen} is every address of this host: say with --advertise where others reach it`,
    );
  }
  if (raw.dataDir === "") problems.push("--data-dir is empty");
  if (!LOG_LEVELS.includes(raw.logLevel)) {
    problems.push(`--log-level ${JSON.stringify(raw.logLevel)} is none of ${LOG_LEVELS.join(", ")}`);
  }
  const etcd = raw.etcd === undefined ? undefined : etcdUrls(raw.etcd, problems);
  const etcdCluster = raw.etcdCluster === undefined ? undefined : clusterOf(raw, raw.etcdCluster, problems);
  const autoRebalanceMs =
    raw.autoRebalance === undefined ? undefined : pauseMsOf(raw.autoRebalance, problems);
  const networkPool = poolOf(raw, problems);
  const floodLimit = Number(raw.networkFloodHosts);
  if (!/^[0-9]{1,4}$/.test(raw.networkFloodHosts)) {
    problems.push(`--network-flood-hosts ${JSON.stringify(raw.networkFloodHosts)} is not 0 to 9999`);
  }
  if (problems.length > 0) throw invalid(problems);
  const { listen, http, advertise, dataDir, logLevel } = raw;
  const addresses = { listen, http, advertise, dataDir, etcd, etcdCluster };
  return { ...addresses, logLevel, autoRebalanceMs, networkPool, floodLimit };
}

function poolOf({ networkPool, networkPrefix }: RawOptions, problems: string[]): NetworkPool {
  const subnet = parseSubnet(networkPool);
  const problem = subnetProblem(networkPool);
  if (subnet === undefined || problem !== undefined) {
    problems.push(`--network-pool: ${problem ?? "it is no subnet"}`);
    return DEFAULT_NETWORK_POOL;
  }
  const prefix = Number(networkPrefix);
  if (!/^[0-9]{1,2}$/.test(networkPrefix) || prefix < subnet.prefix || prefix > MAX_NETWORK_PREFIX) {
    problems.push(
      `--network-prefix ${JSON.stringify(networkPrefix)} is not ${subnet.prefix} to ${MAX_NETWORK_PREFIX}`,
    );
  }
  return { subnet, networkPrefix: prefix };
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

function pauseMsOf(text: string, problems: string[]): number | undefined {
  const [, count = "", unit = ""] = /^([1-9]\d{0,4})([smh])$/.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  if (unitMs !== undefined) return Number(count) * unitMs;
  problems.push(`--auto-rebalance ${JSON.stringify(text)} is not a duration such as 90s, 10m or 1h`);
  return undefined;
}

/** Which of the members this server is, its own address says. */
function clusterOf(raw: RawOptions, list: string, problems: string[]): EtcdCluster {
  const members = list.split(",").map((member) => bare(member.trim()));
  const self = bare((raw.advertise ?? raw.listen).replace(/:[0-9]+$/, ""));
  const say = (problem: string): void =>
    void problems.push(`--etcd-cluster ${JSON.stringify(list)} ${problem}`);
  if (raw.etcd !== undefined) say("and --etcd exclude each other");
  if (members.some((member) => isIP(member) === 0)) say("is not a list of IP addresses without ports");
  if (new Set(members).size < members.length) say("names a server twice");
  if (members.length > MAX_ETCD_MEMBERS) say(`is more than ${MAX_ETCD_MEMBERS} servers`);
  if (!members.includes(self)) say(`does not name this server: it is ${self} by --advertise or --listen`);
  return { self, members };
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

function etcdUrls(list: string, problems: string[]): readonly [string, ...string[]] | undefined {
  const urls = list.split(",").map((url) => url.trim());
  for (const url of urls) {
    if (!/^https?:\/\/[^/\s]+\/?$/.test(url) || !URL.canParse(url)) {
      problems.push(`--etcd ${JSON.stringify(url)} is not http://HOST:PORT`);
    }
  }
  const [first, ...others] = urls.map((url) => url.replace(/\/$/, ""));
  return first === undefined ? undefined : [first, ...others];
}

function invalid(problems: readonly string[]): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `it cannot start with these settings:\n${problems.map((each) => `  ${each}`).join("\n")}\nSee berth server --help`,
  });
}
