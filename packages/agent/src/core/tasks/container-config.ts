import {
  type AssignedSpec,
  type AssignedTask,
  assertNever,
  type BlockIo,
  type BlockIo_ThrottledDevice,
  type ContainerSpec,
  type Healthcheck,
  imageReference,
  type NetworkAttachment,
  NetworkMode,
  type PortSpec,
  PortSpec_Mode,
  PortSpec_Protocol,
  type TaskSpec,
} from "@berth/proto";
import type {
  CreateBody,
  HealthcheckBody,
  HostConfigBody,
  PortBindingBody,
  ThrottleBody,
} from "../docker/create-body.js";
import { resourceLabels, taskLabels } from "../docker/labels.js";
import { directResolvConf, dnsServers } from "../networks/container-dns.js";
import type { NetworksView } from "../networks/task-networks.js";
import { attachmentsOf, endpointBody } from "../networks/task-networks.js";
import { resourceVariables } from "./generic-resources.js";
import { mountConfig } from "./mounts.js";
import { type OwnerView, sharingConfig } from "./owner-containers.js";
import { copyPath } from "./shipped-mounts.js";
import { type FilesView, fileMounts, secretVariables } from "./task-files.js";
import { containerName, fillTemplate } from "./task-names.js";
import type { NodeFacts } from "./task-view.js";

const NS_PER_MS = 1_000_000;
const MS_PER_S = 1_000;

/** Default grace period of a stopping container, the same as in Docker and Compose. */
export const DEFAULT_STOP_GRACE_MS = 10_000;

/** A request to create a task's container. Never logged: its environment can contain secrets. */
export interface ContainerConfig {
  readonly name: string;
  /** For example "linux/amd64". Empty for the daemon's own platform. */
  readonly platform: string;
  readonly body: CreateBody;
  /** Content of /etc/resolv.conf. Missing if Docker generates the file. */
  readonly resolvConf?: string;
}

export interface ContainerConfigInput {
  readonly task: AssignedTask;
  readonly spec: AssignedSpec;
  readonly container: ContainerSpec;
  readonly node: NodeFacts;
  readonly networks: NetworksView;
  readonly files: FilesView;
  readonly owners: readonly OwnerView[];
  /** The container's named resources, as `KIND=NAME`. Default: none. */
  readonly resources?: readonly string[];
}

/**
 * Maps a spec to Docker's Engine API. Omits fields that the spec does not set, so that the defaults of the image and
 * the daemon apply.
 */
export function containerConfig(input: ContainerConfigInput): ContainerConfig {
  const { task, spec, container, node, resources = [] } = input;
  const expandPlaceholders = (text: string): string => fillTemplate(text, task, node);
  const [firstNetwork] = attachmentsOf(spec, input.networks);
  const resolvConf = resolvConfOf(input);
  const ports = portConfig(spec.ports, container.networkMode, node.advertiseAddress);
  return {
    name: containerName(task, node.nodeId),
    platform: container.platform,
    ...omitUndefined({ resolvConf }),
    body: {
      Image: imageReference(container),
      Labels: { ...container.labels, ...taskLabels(task), ...resourceLabels(resources) },
      StopTimeout: Math.ceil((container.stopGraceMs ?? DEFAULT_STOP_GRACE_MS) / MS_PER_S),
      ...omitUndefined({
        Entrypoint: container.entrypoint?.values,
        Cmd: container.command?.values,
        Healthcheck: container.healthcheck && healthcheckBody(container.healthcheck),
        NetworkingConfig: firstNetwork && networkingConfig(firstNetwork, input),
      }),
      ...omitUnset({
        Env: [
          ...container.env.map(expandPlaceholders),
          ...secretVariables(container.files, input.files.contents),
          ...resourceVariables(spec, resources),
        ],
        WorkingDir: container.workingDir,
        User: container.user,
        Hostname: expandPlaceholders(container.hostname),
        Domainname: container.domainname,
        Tty: container.tty,
        OpenStdin: container.stdinOpen,
        StdinOnce: container.waitForAttach && container.stdinOpen,
        StopSignal: container.stopSignal,
        ExposedPorts: ports.exposed,
      }),
      HostConfig: {
        RestartPolicy: { Name: "no" },
        NetworkMode: firstNetwork?.network ?? networkModeName(container.networkMode),
        ...omitUnset({ PortBindings: ports.bindings }),
        ...mountsConfig(input, expandPlaceholders),
        ...resourceConfig(spec.task, container),
        ...isolationConfig(container),
        ...environmentConfig(container, dnsServers(spec, container.dns, input.networks)),
        ...(container.sharing && sharingConfig(container.sharing, input.owners)),
      },
    },
  };
}

/** Returns the mounts of volumes, directories, secrets and configs. */
function mountsConfig(
  { task, container, files }: ContainerConfigInput,
  expandPlaceholders: (text: string) => string,
): Partial<HostConfigBody> {
  const { binds, mounts, tmpfs } = mountConfig(container.mounts, expandPlaceholders, (index) =>
    copyPath(index, { taskId: task.id, directory: files.shippedDirectory }),
  );
  const ownFiles = fileMounts(container.files, { taskId: task.id, directory: files.directory });
  return omitUnset({ Binds: binds, Mounts: [...mounts, ...ownFiles], Tmpfs: tmpfs });
}

/** Returns the network that the container joins when it is created. */
function networkingConfig(
  network: NetworkAttachment,
  { spec, networks, node }: ContainerConfigInput,
): NonNullable<CreateBody["NetworkingConfig"]> {
  const { engineApiVersion } = node;
  return {
    EndpointsConfig: { [network.network]: endpointBody(spec, network, { networks, engineApiVersion }) },
  };
}

/**
 * Returns a container's /etc/resolv.conf. A container in another container's network resolves names as that one does.
 */
function resolvConfOf({ spec, container, networks, owners }: ContainerConfigInput): string | undefined {
  const { sharing, mounts } = container;
  const owner = owners.find(({ service }) => service === sharing?.network);
  if (owner === undefined) return directResolvConf(spec, container, networks);
  const ownerContainer = owner.networkSpec?.task?.container;
  if (owner.networkSpec === undefined || ownerContainer === undefined) return undefined;
  return directResolvConf(owner.networkSpec, { ...ownerContainer, mounts }, networks);
}

function resourceConfig(task: TaskSpec | undefined, container: ContainerSpec): Partial<HostConfigBody> {
  return {
    ...omitUnset({
      NanoCpus: task?.limits?.nanoCpus ?? 0,
      Memory: task?.limits?.memoryBytes ?? 0,
      PidsLimit: task?.limits?.pids ?? 0,
      MemoryReservation: task?.reservations?.memoryBytes ?? 0,
      MemorySwap: container.memorySwapBytes,
      CpuShares: container.cpuShares,
      CpusetCpus: container.cpuset,
      ShmSize: container.shmSizeBytes,
      Ulimits: container.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
      StorageOpt: container.storageOpt,
      CgroupParent: container.cgroupParent,
      CpuPeriod: container.cpuPeriodUs,
      CpuQuota: container.cpuQuotaUs,
      CpuRealtimePeriod: container.cpuRealtimePeriodUs,
      CpuRealtimeRuntime: container.cpuRealtimeRuntimeUs,
    }),
    ...(container.blockIo && blockIoConfig(container.blockIo)),
    ...omitUndefined({
      MemorySwappiness: container.memorySwappiness,
      OomScoreAdj: container.oomScoreAdj,
      OomKillDisable: container.oomKillDisable,
    }),
  };
}

function blockIoConfig(blockIo: BlockIo): Partial<HostConfigBody> {
  const throttles = (devices: readonly BlockIo_ThrottledDevice[]): ThrottleBody[] =>
    devices.map(({ path, rate }) => ({ Path: path, Rate: rate }));
  return omitUnset({
    BlkioWeight: blockIo.weight,
    BlkioWeightDevice: blockIo.weightDevices.map(({ path, weight }) => ({ Path: path, Weight: weight })),
    BlkioDeviceReadBps: throttles(blockIo.readBytes),
    BlkioDeviceWriteBps: throttles(blockIo.writeBytes),
    BlkioDeviceReadIOps: throttles(blockIo.readOperations),
    BlkioDeviceWriteIOps: throttles(blockIo.writeOperations),
  });
}

function isolationConfig(container: ContainerSpec): Partial<HostConfigBody> {
  return omitUnset({
    CapAdd: container.capAdd,
    CapDrop: container.capDrop,
    Privileged: container.privileged,
    ReadonlyRootfs: container.readOnly,
    Devices: container.devices.map((device) => ({
      PathOnHost: device.hostPath,
      PathInContainer: device.containerPath || device.hostPath,
      CgroupPermissions: device.permissions || "rwm",
    })),
    DeviceCgroupRules: container.deviceCgroupRules,
    DeviceRequests: container.deviceRequests.map(({ driver, count, deviceIds, capabilities, options }) => ({
      Driver: driver,
      Count: count,
      ...(deviceIds.length === 0 ? {} : { DeviceIDs: deviceIds }),
      Capabilities: capabilities.length === 0 ? [] : [capabilities],
      Options: options,
    })),
    SecurityOpt: container.securityOpt,
    GroupAdd: container.groupAdd,
    PidMode: container.pidMode,
    IpcMode: container.ipcMode,
    UTSMode: container.utsMode,
    UsernsMode: container.usernsMode,
    CgroupnsMode: container.cgroupnsMode,
    Runtime: container.runtime,
  });
}

function environmentConfig(container: ContainerSpec, dns: readonly string[]): Partial<HostConfigBody> {
  const { logDriver } = container;
  return {
    ...omitUnset({
      Sysctls: container.sysctls,
      ExtraHosts: container.extraHosts,
      Dns: dns,
      DnsSearch: container.dnsSearch,
      DnsOptions: container.dnsOptions,
      Annotations: container.annotations,
    }),
    ...omitUndefined({
      Init: container.init,
      LogConfig: logDriver && { Type: logDriver.name, Config: logDriver.options },
    }),
  };
}

function healthcheckBody(check: Healthcheck): HealthcheckBody {
  return omitUnset({
    Test: check.test,
    Interval: check.intervalMs * NS_PER_MS,
    Timeout: check.timeoutMs * NS_PER_MS,
    StartPeriod: check.startPeriodMs * NS_PER_MS,
    StartInterval: check.startIntervalMs * NS_PER_MS,
    Retries: check.retries,
  });
}

function networkModeName(mode: NetworkMode): "default" | "bridge" | "host" | "none" {
  switch (mode) {
    case NetworkMode.HOST:
      return "host";
    case NetworkMode.NONE:
      return "none";
    case NetworkMode.BRIDGE:
      return "bridge";
    case NetworkMode.UNSPECIFIED:
      return "default";
    default:
      return assertNever(mode);
  }
}

interface PortConfig {
  readonly exposed: NonNullable<CreateBody["ExposedPorts"]>;
  readonly bindings: NonNullable<HostConfigBody["PortBindings"]>;
}

/**
 * Ingress ports are published once, on the advertised address and a port that Docker picks; the ingress processes of
 * all hosts forward to it. Host ports are published as the spec says. A container on the host network, or without a
 * network, publishes nothing.
 */
function portConfig(
  ports: readonly PortSpec[],
  networkMode: NetworkMode,
  advertiseAddress: string,
): PortConfig {
  const bindings: Record<string, PortBindingBody[]> = {};
  if (networkMode === NetworkMode.HOST || networkMode === NetworkMode.NONE) return { exposed: {}, bindings };
  for (const port of ports) {
    const key = portKey(port.target, port.protocol);
    const list = bindings[key] ?? [];
    bindings[key] = list;
    const binding = portBinding(port, advertiseAddress);
    const isKnown = list.some(
      (other) => other.HostIp === binding.HostIp && other.HostPort === binding.HostPort,
    );
    if (!isKnown) list.push(binding);
  }
  return { exposed: Object.fromEntries(Object.keys(bindings).map((key) => [key, {}])), bindings };
}

/** Returns Docker's name of a container's port: "8080/tcp". */
function portKey(target: number, protocol: PortSpec_Protocol): string {
  return `${target}/${protocol === PortSpec_Protocol.UDP ? "udp" : "tcp"}`;
}

function portBinding(port: PortSpec, advertiseAddress: string): PortBindingBody {
  if (port.mode !== PortSpec_Mode.HOST) return { HostIp: advertiseAddress, HostPort: "" };
  return { HostIp: port.hostIp, HostPort: port.published === 0 ? "" : String(port.published) };
}

/** Returns whether a value is that of an unset proto3 field. */
function isUnset(value: unknown): boolean {
  if (value === undefined || value === "" || value === 0 || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** Omits fields that are undefined, "", 0, false, or an empty list or map. */
function omitUnset<T extends object>(values: T): Partial<T> {
  const entries = Object.entries(values).filter(([, value]) => !isUnset(value));
  return Object.fromEntries(entries) as Partial<T>;
}

/** Omits undefined fields. Keeps 0 and false, as for a proto3 `optional` field. */
function omitUndefined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
