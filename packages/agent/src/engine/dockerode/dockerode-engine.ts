import type { Readable } from "node:stream";
import type { CreateHostVolume, HostVolume, RegistryCredentials } from "@berth/proto";
import { readField, readList, readString } from "../../core/docker/json.js";
import { TASK_LABEL } from "../../core/docker/labels.js";
import {
  type ContainerSummary,
  type ObservedContainer,
  parseInspect,
  parseSummary,
} from "../../core/docker/observed-container.js";
import { type NetworkBody, type ObservedNetwork, parseNetworks } from "../../core/networks/docker-network.js";
import type { ContainerConfig } from "../../core/tasks/container-config.js";
import type { ContainerEvent } from "../../core/tasks/container-event.js";
import type { ContainerOwner } from "../container-owner.js";
import type {
  AttachOptions,
  ConnectOptions,
  ContainerFile,
  Engine,
  EngineArchive,
  EngineCall,
  EngineInfo,
  EngineStream,
  EventsOptions,
  ExecOptions,
  LogOptions,
  LogRecord,
  PrunedVolumes,
  PullOptions,
  RegistryCall,
  StopOptions,
  WriteArchiveOptions,
} from "../engine.js";
import { isEngineError } from "../engine-error.js";
import { readArchive, statFile, writeArchive } from "./archive.js";
import { DockerAttach } from "./attach.js";
import { EngineClient } from "./client.js";
import { negotiateVersion, parseInfo } from "./daemon-info.js";
import { readEvents } from "./events.js";
import { DockerExec, startDetached } from "./exec.js";
import { imageName } from "./image-path.js";
import { readLogs } from "./logs.js";
import { pullImage, SharedPulls } from "./pull.js";
import { authConfig } from "./registry-auth.js";
import { createVolume, listVolumes, pruneVolumes, removeVolume } from "./volumes.js";

/** Timeout of requests that check whether the daemon responds. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Timeout of a container start, which takes tens of seconds under load. */
const START_TIMEOUT_MS = 120_000;
/** Time for Docker to kill and clean up a container after the grace period. */
const STOP_MARGIN_MS = 30_000;
const MS_PER_S = 1_000;

const LOCAL_VOLUMES = JSON.stringify({ driver: ["local"] });
const LABELED_CONTAINERS = JSON.stringify({ label: [TASK_LABEL] });

/** Implements {@link Engine} for the Docker daemon behind a Unix socket. */
export class DockerodeEngine implements Engine {
  readonly #client: EngineClient;
  readonly #owner: ContainerOwner;
  readonly #pulls: SharedPulls;

  /** @param owner marks the containers that this engine creates, and recognizes them */
  constructor(socketPath: string, owner: ContainerOwner) {
    this.#owner = owner;
    this.#client = new EngineClient(socketPath);
    this.#pulls = new SharedPulls((image, options) => pullImage(this.#client, image, options));
  }

  async connect({ signal }: EngineCall): Promise<EngineInfo> {
    this.#client.setVersion(undefined);
    const call = { method: "GET", signal, timeoutMs: CONNECT_TIMEOUT_MS } as const;
    const daemon = negotiateVersion(await this.#client.request({ ...call, path: "/version" }));
    this.#client.setVersion(daemon.apiVersion);
    return parseInfo(await this.#client.request({ ...call, path: "/info" }), daemon);
  }

  async ping({ signal }: EngineCall): Promise<void> {
    await this.#client.request({ method: "GET", path: "/_ping", signal, timeoutMs: CONNECT_TIMEOUT_MS });
  }

  async list({ signal }: EngineCall): Promise<readonly ContainerSummary[]> {
    const query = { all: "1", filters: LABELED_CONTAINERS };
    const json = await this.#client.request({ method: "GET", path: "/containers/json", query, signal });
    const summaries = readList(json).map((each) => parseSummary(each, this.#owner.taskIdOf));
    return summaries.filter(({ taskId }) => taskId !== "");
  }

  async inspect(container: string, { signal }: EngineCall): Promise<ObservedContainer | undefined> {
    const path = `${containerPath(container)}/json`;
    const json = await undefinedOn("not-found", this.#client.request({ method: "GET", path, signal }));
    return json === undefined ? undefined : parseInspect(json, this.#owner.taskIdOf);
  }

  async create(config: ContainerConfig, { signal }: EngineCall): Promise<string> {
    const { name, platform, body } = this.#owner.sign(config);
    const json = await this.#client.request({
      method: "POST",
      path: "/containers/create",
      query: { name, ...(platform === "" ? {} : { platform }) },
      body,
      signal,
      timeoutMs: START_TIMEOUT_MS,
    });
    return readString(readField(json, "Id"));
  }

  async start(containerId: string, { signal }: EngineCall): Promise<void> {
    await this.#post(containerId, "start", { signal, timeoutMs: START_TIMEOUT_MS });
  }

  async stop(containerId: string, { signal, graceMs }: StopOptions): Promise<void> {
    const query = { t: String(Math.ceil(graceMs / MS_PER_S)) };
    await this.#post(containerId, "stop", { signal, query, timeoutMs: graceMs + STOP_MARGIN_MS });
  }

  async kill(
    containerId: string,
    { signal, unixSignal }: EngineCall & { unixSignal: string },
  ): Promise<void> {
    await this.#post(containerId, "kill", { signal, query: { signal: unixSignal } });
  }

  async remove(containerId: string, { signal }: EngineCall): Promise<void> {
    const query = { force: "1", v: "1" };
    const path = containerPath(containerId);
    await undefinedOn("not-found", this.#client.request({ method: "DELETE", path, query, signal }));
  }

  async volumes({ signal }: EngineCall): Promise<readonly string[]> {
    const query = { filters: LOCAL_VOLUMES };
    const json = await this.#client.request({ method: "GET", path: "/volumes", query, signal });
    return readList(readField(json, "Volumes")).map((volume) => readString(readField(volume, "Name")));
  }

  listVolumes(name: string, options: EngineCall): Promise<HostVolume[]> {
    return listVolumes(this.#client, name, options);
  }

  createVolume(volume: CreateHostVolume, options: EngineCall): Promise<HostVolume> {
    return createVolume(this.#client, volume, options);
  }

  removeVolume(name: string, options: EngineCall): Promise<void> {
    return removeVolume(this.#client, name, options);
  }

  pruneVolumes(all: boolean, options: EngineCall): Promise<PrunedVolumes> {
    return pruneVolumes(this.#client, all, options);
  }

  async networks({ signal }: EngineCall): Promise<readonly ObservedNetwork[]> {
    return parseNetworks(await this.#client.request({ method: "GET", path: "/networks", signal }));
  }

  async createNetwork(body: NetworkBody, { signal }: EngineCall): Promise<string> {
    const json = await this.#client.request({ method: "POST", path: "/networks/create", body, signal });
    return readString(readField(json, "Id"));
  }

  async removeNetwork(networkId: string, { signal }: EngineCall): Promise<void> {
    const path = networkPath(networkId);
    await undefinedOn("no-such-network", this.#client.request({ method: "DELETE", path, signal }));
  }

  async connectNetwork(network: string, { signal, containerId, endpoint }: ConnectOptions): Promise<void> {
    const body = { Container: containerId, EndpointConfig: endpoint };
    const path = `${networkPath(network)}/connect`;
    await this.#client.request({ method: "POST", path, body, signal, timeoutMs: START_TIMEOUT_MS });
  }

  async imageExists(image: string, { signal }: EngineCall): Promise<boolean> {
    return (await this.#inspectImage(image, signal)) !== undefined;
  }

  async repoDigests(image: string, { signal }: EngineCall): Promise<readonly string[] | undefined> {
    const json = await this.#inspectImage(image, signal);
    return json === undefined ? undefined : readList(readField(json, "RepoDigests")).map(readString);
  }

  async registryDigest(image: string, { signal, credentials }: RegistryCall): Promise<string> {
    const path = `/distribution/${imageName(image)}/json`;
    const registryAuth = credentials && authConfig(credentials);
    const json = await this.#client.request({ method: "GET", path, signal, registryAuth });
    return readString(readField(readField(json, "Descriptor"), "digest"));
  }

  pull(image: string, options: PullOptions): Promise<void> {
    return this.#pulls.pull(image, options);
  }

  async checkLogin(credentials: RegistryCredentials, { signal }: EngineCall): Promise<void> {
    await this.#client.request({ method: "POST", path: "/auth", body: authConfig(credentials), signal });
  }

  events(options: EventsOptions): AsyncIterable<ContainerEvent> {
    return readEvents(this.#client, this.#owner, options);
  }

  logs(container: ObservedContainer, options: LogOptions): AsyncIterable<LogRecord> {
    return readLogs(this.#client, container, options);
  }

  exec(containerId: string, options: ExecOptions): Promise<EngineStream> {
    return DockerExec.start(this.#client, containerId, options);
  }

  execDetached(containerId: string, options: ExecOptions): Promise<void> {
    return startDetached(this.#client, containerId, options);
  }

  attach(container: ObservedContainer, options: AttachOptions): Promise<EngineStream> {
    return DockerAttach.open(this.#client, container, options);
  }

  statFile(containerId: string, path: string, options: EngineCall): Promise<ContainerFile | undefined> {
    return statFile(this.#client, { containerId, path }, options);
  }

  readArchive(containerId: string, path: string, options: EngineCall): Promise<EngineArchive> {
    return readArchive(this.#client, { containerId, path }, options);
  }

  writeArchive(containerId: string, archive: Readable, options: WriteArchiveOptions): Promise<void> {
    return writeArchive(this.#client, archive, { ...options, containerId });
  }

  #inspectImage(image: string, signal: AbortSignal): Promise<unknown> {
    const path = `/images/${imageName(image)}/json`;
    return undefinedOn("no-such-image", this.#client.request({ method: "GET", path, signal }));
  }

  async #post(
    containerId: string,
    action: string,
    options: EngineCall & { timeoutMs?: number; query?: Record<string, string> },
  ): Promise<void> {
    await this.#client.request({
      method: "POST",
      path: `${containerPath(containerId)}/${action}`,
      ...options,
    });
  }
}

function containerPath(container: string): string {
  return `/containers/${encodeURIComponent(container)}`;
}

function networkPath(network: string): string {
  return `/networks/${encodeURIComponent(network)}`;
}

/** Resolves with undefined instead of rejecting with an error of this kind. */
async function undefinedOn(
  kind: "not-found" | "no-such-image" | "no-such-network",
  request: Promise<unknown>,
): Promise<unknown> {
  try {
    return await request;
  } catch (error) {
    if (isEngineError(error, kind)) return undefined;
    throw error;
  }
}
