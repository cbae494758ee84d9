import { type HostPort, PortSpec_Protocol, parseIpv4, subnetSize, subnetText } from "@berth/proto";
import { readEntries, readField, readList, readNumber, readString } from "./json.js";
import { AT_MOST_ONE_LABEL, parseResources, RESOURCES_LABEL } from "./labels.js";

const MS_PER_S = 1_000;
const MAX_PORT = 65_535;
const MAX_PREFIX = 32;
/** Docker's default grace period for a container without a stop timeout. */
const DOCKER_STOP_GRACE_MS = 10_000;

const NS_PER_MS = 1e6;
/** Docker's default timeout of a health check. */
const DOCKER_CHECK_TIMEOUT_MS = 30_000;
/** Docker's default for images without SHELL. */
const DEFAULT_SHELL = ["/bin/sh", "-c"];

/** The states of a container in the Engine API. */
const CONTAINER_STATES = [
  "created",
  "running",
  "paused",
  "restarting",
  "removing",
  "exited",
  "dead",
] as const;
export type ContainerState = (typeof CONTAINER_STATES)[number];

export type ContainerHealth = "none" | "starting" | "healthy" | "unhealthy";

/** A container as Docker reports it, reduced to the fields on which decisions depend. */
export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  /** Empty for a container that this agent did not create. */
  readonly taskId: string;
  readonly state: ContainerState;
  readonly exitCode: number;
  /** Docker's message about a failed start or an abnormal exit. */
  readonly error: string;
  readonly outOfMemory: boolean;
  readonly health: ContainerHealth;
  /** The output of the healthcheck's last probe. */
  readonly healthOutput: string;
  /** The health check of the spec or of the image. Undefined if there is none. */
  readonly healthcheck: HealthcheckCommand | undefined;
  /** Published ports. */
  readonly ports: readonly PublishedPort[];
  /** The Docker networks that the container has joined. */
  readonly networks: readonly ContainerNetwork[];
  readonly tty: boolean;
  /** Process ID of the container's first process on this host. 0 while the container does not run. */
  readonly processId: number;
  /** When the container was last started, in UTC without "Z": such texts sort by time. Empty or year 1 before that. */
  readonly startedAt: string;
  readonly stopGraceMs: number;
  /** The container's named resources, as `KIND=NAME`. */
  readonly resources: readonly string[];
  /** Whether the container must not run without contact to the leader. */
  readonly atMostOne: boolean;
}

/** The command of a health check. */
export interface HealthcheckCommand {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly timeoutMs: number;
}

export interface PublishedPort extends HostPort {
  readonly hostIp: string;
}

export interface ContainerNetwork {
  readonly name: string;
  /** The IPv4 address. Empty while the container does not run. */
  readonly address: string;
  /** The interface's MAC address. Empty while the container does not run. */
  readonly mac?: string;
  /** For example "172.17.0.0/16". Empty without an address. */
  readonly subnet?: string;
  /** The default gateway. Empty in an internal network. */
  readonly gateway?: string;
}

/** A container in a listing, with the fields that show whether it has changed since its last inspection. */
export interface ContainerSummary {
  readonly id: string;
  readonly taskId: string;
  readonly state: ContainerState;
  readonly health: ContainerHealth;
}

/** Returns the task that a container belongs to, or "" for a container that this agent did not create. */
export type TaskIdOf = (labels: unknown, name: string) => string;

/** Parses the response to `GET /containers/{id}/json`. */
export function parseInspect(json: unknown, taskIdOf: TaskIdOf): ObservedContainer {
  const state = readField(json, "State");
  const config = readField(json, "Config");
  const labels = readField(config, "Labels");
  const health = readField(state, "Health");
  const name = nameWithoutSlash(readField(json, "Name"));
  const stopTimeoutS = readField(config, "StopTimeout");
  return {
    id: readString(readField(json, "Id")),
    name,
    taskId: taskIdOf(labels, name),
    state: parseState(readField(state, "Status")),
    exitCode: readNumber(readField(state, "ExitCode")),
    error: readString(readField(state, "Error")),
    outOfMemory: readField(state, "OOMKilled") === true,
    health: parseHealth(readField(health, "Status")),
    healthOutput: readString(readField(readList(readField(health, "Log")).at(-1), "Output")).trim(),
    healthcheck: parseHealthcheck(config),
    ports: parsePorts(readField(readField(json, "NetworkSettings"), "Ports")),
    networks: parseNetworks(readField(readField(json, "NetworkSettings"), "Networks")),
    tty: readField(config, "Tty") === true,
    processId: readNumber(readField(state, "Pid")),
    startedAt: readString(readField(state, "StartedAt")).replace(/Z$/, ""),
    stopGraceMs: typeof stopTimeoutS === "number" ? stopTimeoutS * MS_PER_S : DOCKER_STOP_GRACE_MS,
    resources: parseResources(readString(readField(labels, RESOURCES_LABEL))),
    atMostOne: readString(readField(labels, AT_MOST_ONE_LABEL)) === "true",
  };
}

/** Parses one element of the response to `GET /containers/json`. */
export function parseSummary(json: unknown, taskIdOf: TaskIdOf): ContainerSummary {
  const names = readList(readField(json, "Names")).map(nameWithoutSlash);
  // A container that other containers are linked to also has names such as "other/alias".
  const name = names.find((each) => !each.includes("/")) ?? "";
  return {
    id: readString(readField(json, "Id")),
    taskId: taskIdOf(readField(json, "Labels"), name),
    state: parseState(readField(json, "State")),
    health: healthFromStatusLine(readString(readField(json, "Status"))),
  };
}

function nameWithoutSlash(name: unknown): string {
  return readString(name).replace(/^\//, "");
}

/** Returns true while the container has processes, or may have some again without a start. */
export function isAlive(container: ObservedContainer): boolean {
  return container.state === "running" || container.state === "paused" || container.state === "restarting";
}

function parseState(value: unknown): ContainerState {
  return CONTAINER_STATES.find((state) => state === value) ?? "dead";
}

function parseHealth(value: unknown): ContainerHealth {
  return value === "starting" || value === "healthy" || value === "unhealthy" ? value : "none";
}

/** Parses the merged health check of the spec and the image. */
function parseHealthcheck(config: unknown): HealthcheckCommand | undefined {
  const check = readField(config, "Healthcheck");
  const [kind, ...words] = readList(readField(check, "Test")).map(readString);
  if ((kind !== "CMD" && kind !== "CMD-SHELL") || words.length === 0) return undefined;
  const ownShell = readList(readField(config, "Shell")).map(readString);
  const shell = ownShell.length === 0 ? DEFAULT_SHELL : ownShell;
  const timeoutMs = Math.round(readNumber(readField(check, "Timeout")) / NS_PER_MS);
  return {
    command: kind === "CMD" ? words : [...shell, ...words],
    timeoutMs: timeoutMs === 0 ? DOCKER_CHECK_TIMEOUT_MS : timeoutMs,
  };
}

/** A listing has the health only in its display text: "Up 4 seconds (health: starting)". */
function healthFromStatusLine(line: string): ContainerHealth {
  return parseHealth(/\((?:health: )?(starting|healthy|unhealthy)\)$/.exec(line)?.[1]);
}

/** `{"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}], "9/udp": null}` */
function parsePorts(json: unknown): PublishedPort[] {
  return readEntries(json).flatMap(([key, bindings]) => {
    const [target = "", protocol] = key.split("/");
    const ports = readList(bindings).map((binding) => ({
      protocol: protocol === "udp" ? PortSpec_Protocol.UDP : PortSpec_Protocol.TCP,
      target: Number(target),
      hostPort: Number(readString(readField(binding, "HostPort"))),
      hostIp: readString(readField(binding, "HostIp")),
    }));
    return ports.filter((port) => isPort(port.target) && isPort(port.hostPort));
  });
}

function isPort(number: number): boolean {
  return Number.isInteger(number) && number > 0 && number <= MAX_PORT;
}

/** `{"shop_default": {"IPAddress": "10.64.1.2", …}}` */
function parseNetworks(json: unknown): ContainerNetwork[] {
  return readEntries(json).map(([name, endpoint]) => ({
    name,
    address: readString(readField(endpoint, "IPAddress")),
    mac: readString(readField(endpoint, "MacAddress")).toLowerCase(),
    subnet: subnetOf(
      readString(readField(endpoint, "IPAddress")),
      readNumber(readField(endpoint, "IPPrefixLen")),
    ),
    gateway: readString(readField(endpoint, "Gateway")),
  }));
}

function subnetOf(address: string, prefixBits: number): string {
  const number = parseIpv4(address);
  if (number === undefined || !Number.isInteger(prefixBits) || prefixBits < 0 || prefixBits > MAX_PREFIX) {
    return "";
  }
  const size = subnetSize({ prefix: prefixBits });
  return subnetText({ base: number - (number % size), prefix: prefixBits });
}
