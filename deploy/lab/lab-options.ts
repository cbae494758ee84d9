import { hasDocker, otherDockerDirectory } from "../setup/other-docker.mjs";
import { LabError } from "./lab-error.js";
import type { DockerConfig } from "./lab-state.js";
import type { RunOptions, RunResult } from "./run.js";
import { MAX_HOSTS } from "./subnet.js";

/** Maximum number of servers. More etcd members make the cluster slower, not safer. */
const MAX_SERVERS = 7;

/** Runs the `berth` CLI. `args` are the arguments without the program's name. */
export type RunBerth = (args: readonly string[], options: RunOptions) => Promise<RunResult>;

/** Joins a host to a server's cluster, as `berth agent join` on the host does. */
export type JoinAgent = (options: JoinAgentOptions, signal?: AbortSignal) => Promise<void>;

export interface JoinAgentOptions {
  /** `ADDRESS:PORT` of a server. */
  readonly address: string;
  /** Data directory of the agent. */
  readonly dataDir: string;
  readonly hostname: string;
  readonly token: string;
}

/** The programs that a lab uses: `berth` on its machines, and the callbacks that replace child processes. */
export interface LabPrograms {
  /** Path of the `berth` program that the machines initially run. Defaults to the program of this checkout. */
  readonly berthPath?: string | undefined;
  /** Runs the commands of `Lab.berth`. Default: each in a process of its own. */
  readonly runBerth?: RunBerth | undefined;
  /** Joins the hosts. Default: runs `berth agent join` on each host. */
  readonly joinAgent?: JoinAgent | undefined;
}

/** The number of machines of a lab and what they run. */
export interface LabSize {
  readonly hosts: number;
  /**
   * Number of servers, each with an etcd member. They run on the first hosts; a quorum of them must stay up. Undefined
   * for one server on a machine of its own.
   */
  readonly servers?: number | undefined;
  /** If false, the hosts run Docker without agents, and the server machine is idle. Default: true. */
  readonly hasBerth?: boolean;
}

/** Options of every new lab. */
export interface NewLabOptions extends LabSize {
  /** 1 to 12 of a-z, 0-9 and hyphens. A lab named `t-…` is removed after this process has ended. */
  readonly name?: string;
  readonly signal?: AbortSignal | undefined;
  /** Called with a description of each completed step. */
  readonly onProgress?: ((step: string) => void) | undefined;
}

export interface CreateLabOptions extends NewLabOptions, LabPrograms {
  /** Settings added to every host's `daemon.json`. */
  readonly dockerConfig?: DockerConfig;
  /**
   * Docker to use instead of this machine's: a Debian release that setup has downloaded, or a directory with
   * `usr/sbin/dockerd` and its dependencies. Default: BERTH_LAB_DOCKER.
   */
  readonly docker?: string | undefined;
}

/**
 * Checks the options that do not depend on other labs.
 *
 * @throws LabError LAB_BAD_USAGE, LAB_UNSUPPORTED.
 */
export function validateOptions({ hosts, servers }: LabSize): void {
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    throw new LabError(
      "LAB_UNSUPPORTED",
      "the lab needs Linux and root: it creates network namespaces and mounts",
    );
  }
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > MAX_HOSTS) {
    throw new LabError("LAB_BAD_USAGE", `invalid number of hosts ${hosts}: a lab has 1 to ${MAX_HOSTS}`);
  }
  const maxServers = Math.min(hosts, MAX_SERVERS);
  if (servers !== undefined && !(Number.isInteger(servers) && servers >= 1 && servers <= maxServers)) {
    throw new LabError(
      "LAB_BAD_USAGE",
      `invalid number of servers ${servers}: a lab of ${hosts} hosts has 1 to ${maxServers}`,
    );
  }
}

/**
 * Returns the directory with the hosts' Docker. Empty for this machine's Docker.
 *
 * @throws LabError LAB_UNSUPPORTED if the directory contains no Docker.
 */
export function findDockerDirectory(docker = process.env.BERTH_LAB_DOCKER): string {
  if (!docker) return "";
  const directory = otherDockerDirectory(docker);
  if (hasDocker(directory)) return directory;
  throw new LabError(
    "LAB_UNSUPPORTED",
    `no usr/sbin/dockerd in ${directory}: to fetch the Docker of a Debian release, run BERTH_LAB_DOCKER=${docker} npm run setup`,
  );
}
