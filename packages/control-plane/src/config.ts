import { isAbsolute } from "node:path";
import { BerthError, parseSubnet, subnetProblem, timingScaleProblem } from "@berth/proto";
import { CommanderError } from "commander";
import { DEFAULT_NETWORK_POOL, type NetworkPool } from "./core/allocator/address-pool.js";
import { isDnsName } from "./server/web-ui-hosts.js";
import { createServerCommand, LOG_LEVELS, type RawOptions, WEB_PORT } from "./server-command.js";
import { DEFAULT_QUOTA_BYTES } from "./store/embedded/etcd-process.js";
import type { EtcdTlsFiles } from "./store/etcd-tls.js";

/** The validated settings of `berth server`. */
export interface ServerConfig {
  /** "host:port" for gRPC. */
  readonly listen: string;
  /** "host:port" for /healthz and /metrics. */
  readonly http: string;
  /** "host:port" of the web UI. Undefined when the server has none. */
  readonly web: string | undefined;
  /** Names at which browsers open the web UI, besides the advertised host and the hostname, in lower case. */
  readonly webNames: readonly string[];
  /** "host:port" at which agents and other servers reach this server. @default the listen address */
  readonly advertise: string | undefined;
  readonly dataDir: string;
  /** Path of the Unix socket for the administrator of this host. */
  readonly socket: string;
  /** URLs of an external etcd. Undefined if the server runs its own etcd. */
  readonly etcd: readonly [string, ...string[]] | undefined;
  /** Files for TLS with an external etcd. Defined if and only if its URLs use https. */
  readonly etcdTls: EtcdTlsFiles | undefined;
  /** Size of the embedded etcd's database at which etcd refuses writes. */
  readonly etcdQuotaBytes: number;
  readonly logLevel: string;
  /** Time for which a returned node must be up before tasks move to it. Undefined if only `berth rebalance` moves tasks. */
  readonly autoRebalanceMs: number | undefined;
  /** Address pool of the networks without a configured subnet. */
  readonly networkPool: NetworkPool;
  /** Maximum number of hosts in a network that uses flooding. Larger networks use static forwarding entries. */
  readonly floodLimit: number;
}

/** The settings, or text for the terminal (`--help`, `--version`). */
export type ParsedArguments =
  | { readonly kind: "config"; readonly config: ServerConfig }
  | { readonly kind: "text"; readonly text: string };

/** Value of `--web` for a server without a web UI. */
const NO_WEB = "off";

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };
const BYTES_PER_MIB = 1024 ** 2;
const BYTES_PER_GIB = 1024 ** 3;
/** Smallest quota of the embedded etcd. */
const MIN_ETCD_QUOTA_BYTES = 64 * BYTES_PER_MIB;
/** Largest quota of the embedded etcd. */
const MAX_ETCD_QUOTA_BYTES = 64 * BYTES_PER_GIB;
const HOST_PORT = /^(\[[0-9a-fA-F:.]+\]|[^:\s[\]]+):([0-9]{1,5})$/;
const MAX_PORT = 65_535;
/** Maximum length of a socket path. Linux's `sun_path` has 108 bytes with the final NUL. */
const MAX_SOCKET_PATH_BYTES = 107;
/** Longest prefix of a network. A smaller network has room for only a few hosts with about ten containers each. */
const MAX_NETWORK_PREFIX = 24;

/**
 * Parses the command line and the BERTH_* variables. Flags take precedence over variables.
 *
 * @throws BerthError BERTH_INPUT_INVALID that lists all problems
 */
export function parseArguments(argv: readonly string[], env: Readonly<NodeJS.ProcessEnv>): ParsedArguments {
  let text = "";
  const command = createServerCommand(env).configureOutput({
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
    throw invalidSettingsError([error.message.replace(/^error: /, "")]);
  }
  return { kind: "config", config: validate(command.opts<RawOptions>(), env) };
}

/** @throws BerthError BERTH_INPUT_INVALID that lists all problems */
function validate(raw: RawOptions, env: Readonly<NodeJS.ProcessEnv>): ServerConfig {
  const scaleProblem = timingScaleProblem(env);
  const problems = scaleProblem === undefined ? [] : [scaleProblem];
  checkAddresses(raw, problems);
  if (raw.dataDir === "") problems.push("--data-dir must not be empty");
  checkSocket(raw.socket, problems);
  if (!LOG_LEVELS.includes(raw.logLevel)) {
    problems.push(`invalid --log-level ${JSON.stringify(raw.logLevel)}; use ${LOG_LEVELS.join(", ")}`);
  }
  const { listen, http, advertise, dataDir, socket, logLevel } = raw;
  const config: ServerConfig = {
    listen,
    http,
    web: parseWeb(raw),
    webNames: parseWebNames(raw.webNames, problems),
    advertise,
    dataDir,
    socket,
    etcd: raw.etcd === undefined ? undefined : parseEtcdUrls(raw.etcd, problems),
    etcdTls: parseEtcdTls(raw, problems),
    etcdQuotaBytes: parseEtcdQuota(raw.etcdQuota, problems),
    logLevel,
    autoRebalanceMs:
      raw.autoRebalance === undefined ? undefined : parseAutoRebalance(raw.autoRebalance, problems),
    networkPool: parseNetworkPool(raw, problems),
    floodLimit: parseFloodLimit(raw.networkFloodLimit, problems),
  };
  if (problems.length > 0) throw invalidSettingsError(problems);
  return config;
}

// The functions below add a message to `problems` for each invalid setting. Their result is used only without problems.

/** Returns the address of the web UI. Without a fixed port for other programs, the web UI has none either. */
function parseWeb({ web, listen }: RawOptions): string | undefined {
  if (web === NO_WEB) return undefined;
  const port = listen.endsWith(":0") ? 0 : WEB_PORT;
  return web ?? `${listen.slice(0, listen.lastIndexOf(":"))}:${port}`;
}

function parseWebNames(text: string | undefined, problems: string[]): readonly string[] {
  const names = (text ?? "").split(",").map((name) => name.trim().toLowerCase());
  const given = names.filter((name) => name !== "");
  for (const name of given.filter((text) => !isDnsName(text))) {
    problems.push(`invalid --web-names ${JSON.stringify(name)}; use DNS names, such as berth.example.com`);
  }
  return given;
}

function checkAddresses({ listen, http, web, advertise }: RawOptions, problems: string[]): void {
  if (web !== undefined && web !== NO_WEB) checkAddress("--web", web, { minPort: 0 }, problems);
  checkAddress("--listen", listen, { minPort: 0 }, problems);
  checkAddress("--http", http, { minPort: 0 }, problems);
  if (advertise !== undefined) {
    checkAddress("--advertise", advertise, { minPort: 1 }, problems);
  } else if (/^(0\.0\.0\.0|\[::\]):/.test(listen)) {
    problems.push(
      `--listen ${listen} is not an address that other hosts can connect to; also set --advertise`,
    );
  }
}

/** Returns whether a text is a host and a port of at least `minPort`. */
export function isHostPort(text: string, minPort = 1): boolean {
  const port = Number(HOST_PORT.exec(text)?.[2] ?? -1);
  return port >= minPort && port <= MAX_PORT;
}

function checkAddress(
  flag: string,
  address: string,
  { minPort }: { readonly minPort: number },
  problems: string[],
): void {
  if (isHostPort(address, minPort)) return;
  problems.push(`invalid ${flag} ${JSON.stringify(address)}; use HOST:PORT`);
}

function checkSocket(path: string, problems: string[]): void {
  const length = Buffer.byteLength(path);
  if (isAbsolute(path) && length <= MAX_SOCKET_PATH_BYTES) return;
  problems.push(
    `invalid --socket ${JSON.stringify(path)}; use an absolute path of at most ${MAX_SOCKET_PATH_BYTES} bytes`,
  );
}

function parseFloodLimit(text: string, problems: string[]): number {
  if (!/^[0-9]{1,4}$/.test(text)) {
    problems.push(`invalid --network-flood-limit ${JSON.stringify(text)}; use a number from 0 to 9999`);
  }
  return Number(text);
}

function parseEtcdQuota(text: string, problems: string[]): number {
  const [, count = "", unit = ""] = /^([1-9]\d{0,5})([mg])$/.exec(text) ?? [];
  const bytes = Number(count) * (unit === "g" ? BYTES_PER_GIB : BYTES_PER_MIB);
  if (bytes >= MIN_ETCD_QUOTA_BYTES && bytes <= MAX_ETCD_QUOTA_BYTES) return bytes;
  problems.push(`invalid --etcd-quota ${JSON.stringify(text)}; use a size from 64m to 64g`);
  return DEFAULT_QUOTA_BYTES;
}

function parseNetworkPool({ networkPool, networkPrefix }: RawOptions, problems: string[]): NetworkPool {
  const subnet = parseSubnet(networkPool);
  const problem = subnetProblem(networkPool);
  if (subnet === undefined || problem !== undefined) {
    problems.push(`invalid --network-pool: ${problem ?? "not a subnet"}`);
    return DEFAULT_NETWORK_POOL;
  }
  const prefix = Number(networkPrefix);
  if (!/^[0-9]{1,2}$/.test(networkPrefix) || prefix < subnet.prefix || prefix > MAX_NETWORK_PREFIX) {
    problems.push(
      `invalid --network-prefix ${JSON.stringify(networkPrefix)}; use a number from ${subnet.prefix} to ${MAX_NETWORK_PREFIX}`,
    );
  }
  return { subnet, networkPrefix: prefix };
}

function parseAutoRebalance(text: string, problems: string[]): number | undefined {
  const [, count = "", unit = ""] = /^([1-9]\d{0,4})([smh])$/.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  if (unitMs !== undefined) return Number(count) * unitMs;
  problems.push(`invalid --auto-rebalance ${JSON.stringify(text)}; use a duration such as 90s, 10m or 1h`);
  return undefined;
}

/** Returns the host at which other hosts reach a server. */
export function advertisedHost({
  advertise,
  listen,
}: {
  readonly advertise?: string | undefined;
  readonly listen: string;
}): string {
  const host = (advertise ?? listen).replace(/:[0-9]+$/, "");
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** The options of an external etcd, as text. */
export type EtcdOptions = Pick<RawOptions, "etcd" | "etcdCa" | "etcdCert" | "etcdKey">;

/**
 * Parses the options of an external etcd.
 *
 * @throws BerthError BERTH_INPUT_INVALID that lists all problems
 */
export function parseEtcdOptions(raw: EtcdOptions): Pick<ServerConfig, "etcd" | "etcdTls"> {
  const problems: string[] = [];
  const etcd = raw.etcd === undefined ? undefined : parseEtcdUrls(raw.etcd, problems);
  const etcdTls = parseEtcdTls(raw, problems);
  if (problems.length === 0) return { etcd, etcdTls };
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message: problems.join("; ") });
}

function parseEtcdUrls(list: string, problems: string[]): readonly [string, ...string[]] | undefined {
  const urls = list.split(",").map((url) => url.trim());
  for (const url of urls) {
    if (!/^https?:\/\/[^/\s]+\/?$/.test(url) || !URL.canParse(url)) {
      problems.push(`invalid --etcd ${JSON.stringify(url)}; use http://HOST:PORT or https://HOST:PORT`);
    }
  }
  const [first, ...others] = urls.map((url) => url.replace(/\/$/, ""));
  return first === undefined ? undefined : [first, ...others];
}

/** Parses the paths of the TLS files. The files are read when the server starts. */
function parseEtcdTls(
  { etcd, etcdCa = "", etcdCert = "", etcdKey = "" }: EtcdOptions,
  problems: string[],
): EtcdTlsFiles | undefined {
  const files = { "--etcd-ca": etcdCa, "--etcd-cert": etcdCert, "--etcd-key": etcdKey };
  const flags = Object.keys(files).join(", ");
  const missing = Object.entries(files).flatMap(([flag, file]) => (file === "" ? [flag] : []));
  const isAnySet = missing.length < Object.keys(files).length;
  const hasHttps = /(?:^|,)\s*https:/.test(etcd ?? "");
  const hasHttp = /(?:^|,)\s*http:/.test(etcd ?? "");
  if (isAnySet && etcd === undefined) problems.push(`${flags} require an external etcd; also set --etcd`);
  if (isAnySet && hasHttp) {
    problems.push(`${flags} require https; use https://HOST:PORT for all URLs of --etcd`);
  }
  if ((isAnySet || hasHttps) && missing.length > 0) {
    problems.push(`${missing.join(", ")} missing: an etcd with https requires ${flags}`);
  }
  return isAnySet ? { authoritiesFile: etcdCa, certificateFile: etcdCert, keyFile: etcdKey } : undefined;
}

function invalidSettingsError(problems: readonly string[]): BerthError {
  const list = problems.map((problem) => `  ${problem}`).join("\n");
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `invalid settings:\n${list}\nSee 'berth server --help'.`,
  });
}
