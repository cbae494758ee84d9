import {
  type AssignedSpec,
  type AssignedTask,
  type ContainerSpec,
  type Healthcheck,
  NetworkMode,
  type TaskSpec,
} from "@berth/proto";
import type { CreateBody, HealthcheckBody, HostConfigBody } from "../docker/create-body.js";
import { taskLabels } from "../docker/labels.js";
import type { NetworksView } from "../networks/networks-view.js";
import { ownResolvConf } from "../networks/resolv-conf.js";
import { attachmentsOf, dnsServers, endpointBody } from "../networks/task-networks.js";
import { mountConfig } from "./mounts.js";
import type { NodeFacts } from "./node-facts.js";
import { portConfig } from "./ports.js";
import { presentValues, setValues } from "./set-values.js";
import { containerName } from "./task-name.js";
import { fillTemplate } from "./template.js";

const NS_PER_MS = 1_000_000;
const MS_PER_S = 1_000;

/** Docker's own default, and Compose's. */
export const DEFAULT_STOP_GRACE_MS = 10_000;

/** All that Docker must be told to make the container of a task. */
export interface ContainerConfig {
  readonly name: string;
  /** "linux/amd64"; empty: the node's own. */
  readonly platform: string;
  readonly body: CreateBody;
  /** What it shall have as /etc/resolv.conf; absent: what Docker makes. */
  readonly resolvConf?: string;
}

export interface ContainerConfigInput {
  readonly task: AssignedTask;
  readonly spec: AssignedSpec;
  readonly container: ContainerSpec;
  readonly node: NodeFacts;
  readonly networks: NetworksView;
}

/** What a spec says, in Docker's words. What it does not say is left out, so that the image's and daemon's own hold. */
export function containerConfig(input: ContainerConfigInput): ContainerConfig {
  const { task, container, node } = input;
  const fill = (text: string): string => fillTemplate(text, task, node);
  const [firstNetwork] = attachmentsOf(input.spec, input.networks);
  const resolvConf = ownResolvConf(input.spec, container, input.networks);
  const mounts = mountConfig(container.mounts, fill);
  const ports = portConfig(input.spec.ports, container.networkMode, node.advertiseAddress);
  return {
    name: containerName(task, node.nodeId),
    platform: container.platform,
    ...presentValues({ resolvConf }),
    body: {
      Image: container.image,
      Labels: { ...container.labels, ...taskLabels(task) },
      StopTimeout: Math.ceil((container.stopGraceMs ?? DEFAULT_STOP_GRACE_MS) / MS_PER_S),
      ...presentValues({
        Entrypoint: container.entrypoint?.values,
        Cmd: container.command?.values,
        Healthcheck: container.healthcheck && healthcheckBody(container.healthcheck),
      }),
      ...setValues({
        Env: container.env.map(fill),
        WorkingDir: container.workingDir,
        User: container.user,
        Hostname: fill(container.hostname),
        Domainname: container.domainname,
        Tty: container.tty,
        OpenStdin: container.stdinOpen,
        StopSignal: container.stopSignal,
        ExposedPorts: ports.exposed,
      }),
      HostConfig: {
        RestartPolicy: { Name: "no" },
        NetworkMode: firstNetwork?.network ?? networkModeName(container.networkMode),
        ...setValues({ PortBindings: ports.bindings }),
        ...setValues({ Binds: mounts.binds, Mounts: mounts.mounts }),
        ...resourceConfig(input.spec.task, container),
        ...isolationConfig(container),
        ...environmentConfig(container, dnsServers(input.spec, container.dns, input.networks)),
      },
      ...(firstNetwork && {
        NetworkingConfig: {
          EndpointsConfig: {
            [firstNetwork.network]: endpointBody(input.spec, firstNetwork, {
              networks: input.networks,
              engineApiVersion: node.engineApiVersion,
            }),
          },
        },
      }),
    },
  };
}

function resourceConfig(task: TaskSpec | undefined, container: ContainerSpec): Partial<HostConfigBody> {
  return {
    ...setValues({
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
    }),
    ...presentValues({
      MemorySwappiness: container.memorySwappiness,
      OomScoreAdj: container.oomScoreAdj,
      OomKillDisable: container.oomKillDisable,
    }),
  };
}

function isolationConfig(container: ContainerSpec): Partial<HostConfigBody> {
  return setValues({
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
    ...setValues({
      Sysctls: container.sysctls,
      ExtraHosts: container.extraHosts,
      Dns: dns,
      DnsSearch: container.dnsSearch,
      DnsOptions: container.dnsOptions,
      Annotations: container.annotations,
    }),
    ...presentValues({
      Init: container.init,
      LogConfig: logDriver && { Type: logDriver.name, Config: logDriver.options },
    }),
  };
}

function healthcheckBody(check: Healthcheck): HealthcheckBody {
  return setValues({
    Test: check.test,
    Interval: check.intervalMs * NS_PER_MS,
    Timeout: check.timeoutMs * NS_PER_MS,
    StartPeriod: check.startPeriodMs * NS_PER_MS,
    StartInterval: check.startIntervalMs * NS_PER_MS,
    Retries: check.retries,
  });
}

function networkModeName(mode: NetworkMode): "default" | "bridge" | "host" | "none" {
  if (mode === NetworkMode.HOST) return "host";
  if (mode === NetworkMode.NONE) return "none";
  return mode === NetworkMode.BRIDGE ? "bridge" : "default";
}
