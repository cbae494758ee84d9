import { hasDocker, otherDockerDirectory } from "../setup/other-docker.mjs";
import { LabError } from "./lab-error.js";
import type { DockerConfig } from "./lab-state.js";
import type { RunOptions, RunResult } from "./run.js";
import { MAX_HOSTS } from "./subnet.js";

/** More etcd members make the cluster slower, not safer. */
const MAX_SERVERS = 7;

/** Runs a command line of the `berth` CLI, without the program's name. */
export type RunBerth = (args: readonly string[], options: RunOptions) => Promise<RunResult>;

/** Lets a host join the cluster of a server, as `berth agent join` on the host does. */
export type JoinAgent = (options: JoinAgentOptions, signal?: AbortSignal) => Promise<void>;

export interface JoinAgentOptions {
  /** `ADDRESS:PORT` of a server. */
  readonly address: string;
  /** Data directory of the agent. */
  readonly dataDir: string;
  readonly hostname: string;
  readonly token: string;
}

/** What runs berth in a lab, and for it. */
export interface LabPrograms {
  /** Program `berth` that the machines run at first. Default: that of this checkout. */
  readonly berthPath?: string | undefined;
  /** Runs the command lines of `Lab.berth`. Default: in a process of its own. */
  readonly runBerth?: RunBerth | undefined;
  /** Lets the hosts join. Default: with `berth agent join` of `berthPath`, in a process of the host. */
  readonly joinAgent?: JoinAgent | undefined;
}

export interface CreateLabOptions extends LabPrograms {
  /** 1 to 12 of a-z, 0-9 and hyphens. A lab named `t-…` is removed after this process has ended. */
  readonly name?: string;
  readonly hosts: number;
  /**
   * Number of servers, each with an etcd member. They run on the first hosts; a majority of them must stay up.
   * Undefined for one server on a machine of its own.
   */
  readonly servers?: number;
  /** False for Docker hosts without agents, and an idle server machine. Default: true. */
  readonly hasBerth?: boolean;
  /** Settings added to every host's `daemon.json`. */
  readonly dockerConfig?: DockerConfig;
  /**
   * Docker to use instead of this machine's: a Debian release that setup has fetched, or a directory with
   * `usr/sbin/dockerd` and its dependencies. Default: BERTH_LAB_DOCKER.
   */
  readonly docker?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each step with a description of it. */
  readonly onProgress?: (step: string) => void;
}

/**
 * Checks the options that do not depend on other labs.
 *
 * @throws LabError LAB_BAD_USAGE, LAB_UNSUPPORTED.
 */
export function validateOptions({ hosts, servers }: CreateLabOptions): void {
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
 * @throws LabError LAB_UNSUPPORTED when the directory contains no Docker.
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
