import { BERTH_VERSION } from "@berth/proto";
import { Command, Option } from "commander";
import { DEFAULT_FLOOD_LIMIT } from "./core/allocator/dns-entries.js";

/** Default data directory of a server. */
export const DEFAULT_DATA_DIR = "/var/lib/berth/server";

/** Default port of the web UI. */
export const WEB_PORT = 7406;

/** Values of `--log-level`. */
export const LOG_LEVELS: readonly string[] = ["error", "warn", "info", "debug"];

const EXAMPLES = `
Examples:
  # One server
  $ berth server --listen 10.0.0.1:7400

  # Listen on all addresses
  $ berth server --listen 0.0.0.0:7400 --advertise 10.0.0.1:7400

  # Use an external etcd
  $ berth server --listen 10.0.0.1:7400 --etcd http://10.0.0.5:2379

  # Use an external etcd that requires client certificates
  $ berth server --listen 10.0.0.1:7400 --etcd https://10.0.0.5:2379 \\
      --etcd-ca ca.pem --etcd-cert client.pem --etcd-key client-key.pem

  # Add a server to the cluster of 10.0.0.1; see 'berth server join --help'
  $ berth server join 10.0.0.1:7400
  $ berth server --listen 10.0.0.2:7400

  # Continue with this server alone after the quorum was lost
  $ berth server recover

  # List servers, and remove one for good; see 'berth server ls --help' and 'berth server rm --help'
  $ berth server ls
  $ berth server rm host-3

BERTH_TIMING_SCALE=N multiplies the timings by which hosts and leaders count as
lost, for machines that are too slow for them, such as emulated ones. It must
be the same on all servers and agents.

Three servers tolerate the loss of one. Their embedded etcds communicate on
ports 7403 and 7404 with mutual TLS.
`;

/** The settings of `berth server` as text. */
export interface RawOptions {
  readonly listen: string;
  readonly http: string;
  readonly web?: string;
  readonly webNames?: string;
  readonly advertise?: string;
  readonly dataDir: string;
  readonly socket: string;
  readonly etcd?: string;
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
  readonly etcdQuota: string;
  readonly logLevel: string;
  readonly autoRebalance?: string;
  readonly networkPool: string;
  readonly networkPrefix: string;
  readonly networkFloodLimit: string;
}

interface OptionDefinition {
  readonly flags: string;
  readonly description: string;
  /** The environment variable that sets the option. */
  readonly variable: string;
  readonly defaultValue?: string;
}

const OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--listen <host:port>",
    description: "Listen address for agents and the CLI",
    variable: "BERTH_LISTEN",
    defaultValue: "127.0.0.1:7400",
  },
  {
    flags: "--http <host:port>",
    description:
      "Listen address for /healthz, and for /metrics from this host or over HTTPS with a certificate",
    variable: "BERTH_HTTP",
    defaultValue: "127.0.0.1:7401",
  },
  {
    flags: "--web <host:port>",
    description: `Listen address of the web UI and the HTTP API, or "off" (default: port ${WEB_PORT} at the host of --listen)`,
    variable: "BERTH_WEB",
  },
  {
    flags: "--web-names <name,...>",
    description:
      "Names at which browsers open the web UI, besides the hostname and the host of --advertise, such as a load balancer's",
    variable: "BERTH_WEB_NAMES",
  },
  {
    flags: "--advertise <host:port>",
    description: "Address at which agents and other servers connect, if it differs from --listen",
    variable: "BERTH_ADVERTISE",
  },
  {
    flags: "--data-dir <dir>",
    description: "Data directory of the embedded etcd and of the server's identity",
    variable: "BERTH_DATA_DIR",
    defaultValue: DEFAULT_DATA_DIR,
  },
  {
    flags: "--socket <path>",
    description: "Unix socket through which root on this host administers the cluster",
    variable: "BERTH_SOCKET",
    defaultValue: "/run/berth/server.sock",
  },
  {
    flags: "--etcd <url,...>",
    description: "URLs of an external etcd to use instead of the embedded one",
    variable: "BERTH_ETCD",
  },
  {
    flags: "--etcd-ca <file>",
    description: "CA certificates of an external etcd with https URLs, in PEM",
    variable: "BERTH_ETCD_CA",
  },
  {
    flags: "--etcd-cert <file>",
    description: "Client certificate for an external etcd, in PEM",
    variable: "BERTH_ETCD_CERT",
  },
  {
    flags: "--etcd-key <file>",
    description: "Private key of the client certificate, in PEM without a passphrase",
    variable: "BERTH_ETCD_KEY",
  },
  {
    flags: "--etcd-quota <size>",
    description: "Size of the embedded etcd's database at which it refuses writes, from 64m to 64g",
    variable: "BERTH_ETCD_QUOTA",
    defaultValue: "4g",
  },
  {
    flags: "--auto-rebalance <duration>",
    description: "Move tasks to a returned node after it has been up this long, for example 10m",
    variable: "BERTH_AUTO_REBALANCE",
  },
  {
    flags: "--network-pool <subnet>",
    description: "Address pool for networks; must not overlap with subnets that the hosts route elsewhere",
    variable: "BERTH_NETWORK_POOL",
    defaultValue: "10.64.0.0/10",
  },
  {
    flags: "--network-prefix <bits>",
    description: "Prefix length of each network in the pool",
    variable: "BERTH_NETWORK_PREFIX",
    defaultValue: "18",
  },
  {
    flags: "--network-flood-limit <count>",
    description:
      "Maximum number of hosts in a network that uses flooding; larger networks use static forwarding entries. Must be the same on all servers",
    variable: "BERTH_NETWORK_FLOOD_LIMIT",
    defaultValue: String(DEFAULT_FLOOD_LIMIT),
  },
  {
    flags: "--log-level <level>",
    description: `Log level: ${LOG_LEVELS.join(", ")}`,
    variable: "BERTH_LOG_LEVEL",
    defaultValue: "info",
  },
];

/** Creates the command line of `berth server`. BERTH_* variables replace the defaults of its options. */
export function createServerCommand(env: Readonly<NodeJS.ProcessEnv>): Command {
  const command = new Command("berth server")
    .description("Run a server of the control plane")
    .version(BERTH_VERSION, "--version")
    .addHelpText("after", EXAMPLES)
    .exitOverride();
  for (const { flags, description, variable, defaultValue } of OPTIONS) {
    const option = new Option(flags, `${description} [${variable}]`);
    const initialValue = env[variable] || defaultValue;
    if (initialValue !== undefined) option.default(initialValue);
    command.addOption(option);
  }
  return command;
}
