import type { EndpointBody } from "../core/docker/create-body.js";
import type { ContainerSummary, ObservedContainer } from "../core/docker/observed-container.js";
import type { NetworkBody } from "../core/networks/network-body.js";
import type { ObservedNetwork } from "../core/networks/observed-network.js";
import type { ContainerConfig } from "../core/tasks/container-config.js";
import type { ContainerEvent } from "../core/tasks/container-event.js";

/**
 * The Docker daemon of this host, as far as berth needs it.
 *
 * Every method has a deadline of its own, also while the daemon hangs, and ends early when `signal` fires (rejecting
 * with its reason). Failures are EngineErrors.
 */
export interface Engine {
  /** Agrees on an API version and says who the daemon is. To be called first, and again after it was unavailable. */
  connect(options: EngineCall): Promise<EngineInfo>;
  /** Does the daemon answer at all? Rejects within seconds when it does not. */
  ping(options: EngineCall): Promise<void>;
  /** All containers that carry berth's task label, running or not. */
  list(options: EngineCall): Promise<readonly ContainerSummary[]>;
  /** By id or name; undefined: there is none. */
  inspect(container: string, options: EngineCall): Promise<ObservedContainer | undefined>;
  /** Returns the id of the new container. */
  create(config: ContainerConfig, options: EngineCall): Promise<string>;
  /** Does nothing to a container that runs already. */
  start(containerId: string, options: EngineCall): Promise<void>;
  /** The container's stop signal, then SIGKILL after its own grace; returns when it has ended. */
  stop(containerId: string, options: StopOptions): Promise<void>;
  kill(containerId: string, options: EngineCall & { readonly unixSignal: string }): Promise<void>;
  /** Removes it with its anonymous volumes, running or not. One that is not there counts as removed. */
  remove(containerId: string, options: EngineCall): Promise<void>;
  /** Names of the volumes of the local driver, in no order. */
  volumes(options: EngineCall): Promise<readonly string[]>;
  /** All networks, also those that are not ours. */
  networks(options: EngineCall): Promise<readonly ObservedNetwork[]>;
  /** Returns Docker's id of it. A network of that name that is there already: `name-taken`. */
  createNetwork(body: NetworkBody, options: EngineCall): Promise<string>;
  /** By id. One that is not there counts as removed; one that containers are in: `conflict`. */
  removeNetwork(networkId: string, options: EngineCall): Promise<void>;
  /** Puts a container that has not been started into one more network. */
  connectNetwork(network: string, options: ConnectOptions): Promise<void>;
  imageExists(image: string, options: EngineCall): Promise<boolean>;
  /** Returns when the image is there. At most one pull of an image runs at a time: later callers join it. */
  pull(image: string, options: PullOptions): Promise<void>;
  /** What happens to our containers, until the connection ends (which throws) or the signal fires. */
  events(options: EventsOptions): AsyncIterable<ContainerEvent>;
  /** The container's log, oldest first. */
  logs(container: ObservedContainer, options: LogOptions): AsyncIterable<LogRecord>;
  /** Starts a command in a running container. It is hung up on when `signal` fires. */
  exec(containerId: string, options: ExecOptions): Promise<EngineExec>;
  /** Starts a command in a running container and leaves it. */
  execDetached(containerId: string, options: ExecOptions): Promise<void>;
}

export interface EngineCall {
  readonly signal: AbortSignal;
}

export interface EngineInfo {
  readonly hostname: string;
  /** "linux" */
  readonly os: string;
  /** "x86_64", as the daemon names it. */
  readonly architecture: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly version: string;
  /** The version agreed on, such as "1.41". */
  readonly apiVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What its containers run on, when that is not this host itself: "rootless Docker", "Docker Desktop". */
  readonly enclosure: string;
}

export interface StopOptions extends EngineCall {
  /** From the request to end until the kill, in whole seconds, rounded up. */
  readonly graceMs: number;
}

export interface ConnectOptions extends EngineCall {
  readonly containerId: string;
  readonly endpoint: EndpointBody;
}

export interface PullOptions extends EngineCall {
  /** "linux/amd64"; empty: the daemon's own. */
  readonly platform: string;
  /** Told of the progress now and then; never after the promise has settled. */
  readonly onProgress?: (progress: PullProgress) => void;
}

/** Of the layers seen so far. */
export interface PullProgress {
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

export interface EventsOptions extends EngineCall {
  /** Also what happened since then, as far as the daemon still knows. "": only from now on. */
  readonly sinceNs: string;
}

export interface LogOptions extends EngineCall {
  readonly follow: boolean;
  /** Lines from the end; negative: all. */
  readonly tail: number;
  /** 0: all. */
  readonly sinceMs: number;
  /** 0: all. */
  readonly untilMs: number;
}

export interface ExecOptions extends EngineCall {
  readonly command: readonly string[];
  /** "KEY=VALUE", beside the container's own. */
  readonly env: readonly string[];
  /** Empty: the container's own. */
  readonly user: string;
  /** Empty: the container's own. */
  readonly workingDir: string;
  readonly tty: boolean;
  /** Input follows. */
  readonly stdin: boolean;
  /** Of its terminal when it starts. Docker before 23.0 does not know: resize it then. */
  readonly size?: TerminalSize | undefined;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** A command that runs in a container. */
export interface EngineExec {
  /** What it prints, until it ends. Read as slowly as one likes: the command waits. On a terminal all is stdout. */
  readonly output: AsyncIterable<OutputChunk>;
  /** Resolves when there is room for more input, or when nobody reads it any more. */
  write(bytes: Uint8Array): Promise<void>;
  endInput(): void;
  /** Of its terminal. One that cannot be set is left as it is. */
  resize(size: TerminalSize): Promise<void>;
  /** To its process; nothing when that has ended, or cannot be seen from where the agent runs. */
  kill(unixSignal: NodeJS.Signals): Promise<void>;
  /** Waits for its end. */
  exitCode(): Promise<number>;
}

/** A piece of a container's output. Its borders mean nothing. */
export interface OutputChunk {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Buffer;
}

export interface LogRecord {
  readonly stream: "stdout" | "stderr";
  /** Nanoseconds since 1970 as decimal text. */
  readonly timeNs: string;
  /** Without its line end. */
  readonly line: Buffer;
}
