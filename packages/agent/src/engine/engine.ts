import type { Readable } from "node:stream";
import type { CreateHostVolume, HostVolume, RegistryCredentials } from "@berth/proto";
import type { EndpointBody } from "../core/docker/create-body.js";
import type { ContainerSummary, ObservedContainer } from "../core/docker/observed-container.js";
import type { NetworkBody, ObservedNetwork } from "../core/networks/docker-network.js";
import type { ContainerConfig } from "../core/tasks/container-config.js";
import type { ContainerEvent } from "../core/tasks/container-event.js";
import type { HostIds } from "../core/tasks/task-files.js";

/**
 * The part of Docker's Engine API that the agent uses, on the daemon of this host.
 *
 * This is not an abstraction over container runtimes: configurations are bodies of the Engine API (`CreateBody`,
 * `NetworkBody`), which `core/tasks/container-config.ts` maps from the spec. A neutral spec in between would copy each
 * of Docker's seventy options without a second runtime that needs it. The interface exists so that tests and the
 * simulation can replace the daemon.
 *
 * Each method has its own deadline, even while the daemon hangs, and rejects with the signal's reason when the signal
 * is aborted. Failures are EngineErrors.
 */
export interface Engine {
  /** Negotiates the API version and describes the daemon. Called first, and again after the daemon was unavailable. */
  connect(options: EngineCall): Promise<EngineInfo>;
  /** Rejects within seconds when the daemon does not respond. */
  ping(options: EngineCall): Promise<void>;
  /** Lists the containers that this agent created, running or not. */
  list(options: EngineCall): Promise<readonly ContainerSummary[]>;
  /** Finds a container of any creator by ID or name. Returns undefined if there is none. */
  inspect(container: string, options: EngineCall): Promise<ObservedContainer | undefined>;
  /** Creates a container that is marked as this agent's, and returns its ID. */
  create(config: ContainerConfig, options: EngineCall): Promise<string>;
  /** Has no effect on a container that is running. */
  start(containerId: string, options: EngineCall): Promise<void>;
  /** Sends the container's stop signal, then SIGKILL after the grace period. Resolves when the container has ended. */
  stop(containerId: string, options: StopOptions): Promise<void>;
  kill(containerId: string, options: EngineCall & { readonly unixSignal: string }): Promise<void>;
  /** Removes the container, running or not, with its anonymous volumes. A missing container counts as removed. */
  remove(containerId: string, options: EngineCall): Promise<void>;
  /** Lists the names of the local driver's volumes, in no particular order. */
  volumes(options: EngineCall): Promise<readonly string[]>;
  /**
   * Lists the volumes of all drivers.
   *
   * @param name empty for all; rejects with `not-found` when there is none of this name
   */
  listVolumes(name: string, options: EngineCall): Promise<HostVolume[]>;
  createVolume(volume: CreateHostVolume, options: EngineCall): Promise<HostVolume>;
  /** Rejects with `conflict` while a container uses the volume, and with `not-found` when there is none. */
  removeVolume(name: string, options: EngineCall): Promise<void>;
  /**
   * Removes unused volumes.
   *
   * @param all whether to remove named volumes as well
   */
  pruneVolumes(all: boolean, options: EngineCall): Promise<PrunedVolumes>;
  /** Lists all networks, with and without berth's label. */
  networks(options: EngineCall): Promise<readonly ObservedNetwork[]>;
  /** Returns the ID of the new network. Rejects with `name-taken` when a network has that name. */
  createNetwork(body: NetworkBody, options: EngineCall): Promise<string>;
  /**
   * Removes a network by ID. A missing network counts as removed. Rejects with `conflict` while containers are in it.
   */
  removeNetwork(networkId: string, options: EngineCall): Promise<void>;
  /** Connects a container that has not been started to one more network. */
  connectNetwork(network: string, options: ConnectOptions): Promise<void>;
  imageExists(image: string, options: EngineCall): Promise<boolean>;
  /**
   * Returns the digests under which registries have an image of this host, as "name@sha256:…": none for an image that
   * was built or loaded here, or undefined if the host does not have the image.
   */
  repoDigests(image: string, options: EngineCall): Promise<readonly string[] | undefined>;
  /** Queries the image's registry for the digest of its tag. Rejects with Docker's reason when this fails. */
  registryDigest(image: string, options: RegistryCall): Promise<string>;
  /** Resolves when the image is present. Concurrent callers share one pull. */
  pull(image: string, options: PullOptions): Promise<void>;
  /** Logs in to a registry, without storing anything. Rejects with the message of the registry or of Docker. */
  checkLogin(credentials: RegistryCredentials, options: EngineCall): Promise<void>;
  /**
   * Yields events of the containers that this agent created until the connection breaks, which throws, or the signal is
   * aborted.
   */
  events(options: EventsOptions): AsyncIterable<ContainerEvent>;
  /** Yields the container's log, oldest first. */
  logs(container: ObservedContainer, options: LogOptions): AsyncIterable<LogRecord>;
  /** Starts a command in a running container. The connection to it closes when `signal` is aborted. */
  exec(containerId: string, options: ExecOptions): Promise<EngineStream>;
  /** Starts a command in a running container without a connection to it. */
  execDetached(containerId: string, options: ExecOptions): Promise<void>;
  /**
   * Connects to the main process of a container, before or after its start. The connection closes when `signal` is
   * aborted, and the process continues.
   */
  attach(container: ObservedContainer, options: AttachOptions): Promise<EngineStream>;
  /**
   * Describes a path in the file system of a container, running or not. Returns undefined when the path does not exist.
   */
  statFile(containerId: string, path: string, options: EngineCall): Promise<ContainerFile | undefined>;
  /** Reads a file or a directory as a tar archive. */
  readArchive(containerId: string, path: string, options: EngineCall): Promise<EngineArchive>;
  /** Extracts a tar archive into a directory. Resolves when all of it is extracted. */
  writeArchive(containerId: string, archive: Readable, options: WriteArchiveOptions): Promise<void>;
}

export interface EngineCall {
  readonly signal: AbortSignal;
}

export interface RegistryCall extends EngineCall {
  /** Undefined to query without credentials. */
  readonly credentials?: RegistryCredentials | undefined;
}

export interface EngineInfo {
  readonly hostname: string;
  /** The operating system of containers: "linux". */
  readonly os: string;
  /** The daemon's name of the architecture, such as "x86_64". */
  readonly architecture: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly version: string;
  /** The negotiated API version, such as "1.41". */
  readonly apiVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  /**
   * "rootless Docker" or "Docker Desktop" when containers have other network devices than the host. Empty otherwise.
   */
  readonly isolation: string;
  /** The host's IDs of root in containers. Not 0 when the daemon remaps users. */
  readonly containerRoot: HostIds;
}

export interface StopOptions extends EngineCall {
  /** Time between the stop signal and SIGKILL. Rounded up to whole seconds for Docker. */
  readonly graceMs: number;
}

export interface ConnectOptions extends EngineCall {
  readonly containerId: string;
  readonly endpoint: EndpointBody;
}

export interface PullOptions extends EngineCall {
  /** For example "linux/amd64". Empty for the daemon's own platform. */
  readonly platform: string;
  /** Undefined to pull without credentials. */
  readonly credentials?: RegistryCredentials | undefined;
  /** Called about once a second, and never after the promise has settled. */
  readonly onProgress?: (progress: PullProgress) => void;
}

/** Progress of the layers whose download has begun. */
export interface PullProgress {
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

export interface EventsOptions extends EngineCall {
  /** Includes past events since this time, as far as the daemon keeps them. Empty for new events only. */
  readonly sinceNs: string;
}

export interface LogOptions extends EngineCall {
  readonly follow: boolean;
  /** Number of lines from the end. Negative for all. */
  readonly tail: number;
  /** 0 for no limit. */
  readonly sinceMs: number;
  /** 0 for no limit. */
  readonly untilMs: number;
}

export interface ExecOptions extends EngineCall {
  readonly command: readonly string[];
  /** "KEY=VALUE", in addition to the container's environment. */
  readonly env: readonly string[];
  /** Empty for the container's user. */
  readonly user: string;
  /** Empty for the container's working directory. */
  readonly workingDir: string;
  /** True to give the command all privileges of the host. */
  readonly privileged?: boolean;
  readonly tty: boolean;
  /** Whether to attach standard input. */
  readonly stdin: boolean;
  /** Initial size of the terminal. Docker before 23.0 ignores it: `resize` after the start. */
  readonly size?: TerminalSize | undefined;
}

export interface PrunedVolumes {
  readonly removed: readonly string[];
  readonly reclaimedBytes: number;
}

export interface AttachOptions extends EngineCall {
  /** Whether to attach standard input. */
  readonly stdin: boolean;
}

export interface WriteArchiveOptions extends EngineCall {
  /** Path of an existing directory in the container. */
  readonly path: string;
  /** Refuses to replace a directory with a non-directory and vice versa. */
  readonly keepTypes: boolean;
  /** Sets the owners as `docker cp --archive` does. */
  readonly keepOwners: boolean;
}

/** A file as Docker describes it. */
export interface ContainerFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** The bits of Go's fs.FileMode. */
  readonly mode: number;
  /** Empty unless the file is a symbolic link. */
  readonly linkTarget: string;
}

export interface EngineArchive {
  readonly file: ContainerFile;
  readonly chunks: AsyncIterable<Buffer>;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** A two-way connection to a process in a container. */
export interface EngineStream {
  /**
   * Yields the output of the process until it ends. The process blocks while the output is not read. With a terminal,
   * all is stdout.
   */
  readonly output: AsyncIterable<OutputChunk>;
  /** Resolves when more input can be written, or when the process reads no more. */
  write(bytes: Uint8Array): Promise<void>;
  endInput(): void;
  /** Sets the size of the terminal. Never rejects. */
  resize(size: TerminalSize): Promise<void>;
  /** Sends a signal to the process. No effect when it has ended, or when a command belongs to another PID namespace. */
  kill(unixSignal: NodeJS.Signals): Promise<void>;
  /** Resolves when the process has ended. */
  exitCode(): Promise<number>;
}

/** A piece of a container's output. Its boundaries have no meaning. */
export interface OutputChunk {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Buffer;
}

export interface LogRecord {
  readonly stream: "stdout" | "stderr";
  /** Nanoseconds since 1970 as decimal text. */
  readonly timeNs: string;
  /** The line without its terminator. */
  readonly line: Buffer;
}
