import {
  assertNever,
  type ContainerSpec,
  type Mount,
  type NodeDescription,
  type ServiceSpec,
} from "@berth/proto";

/** A part of specs that agents of older releases ignore. */
interface Feature {
  /** The first version of the protocol whose agents support the feature. */
  readonly since: number;
  readonly isUsed: (spec: ServiceSpec) => boolean;
}

/** The features that not all supported releases know. */
const PROTOCOL_FEATURES: readonly Feature[] = [
  // Secrets as environment variables.
  { since: 2, isUsed: ({ task }) => task?.container?.files.some(({ env }) => env !== "") === true },
  // Containers that wait for a client.
  { since: 2, isUsed: ({ task }) => task?.container?.waitForAttach === true },
  // SELinux labels and recursion of bind mounts, subpaths of volumes, options of tmpfs, and mounts of images and of
  // shipped directories.
  { since: 2, isUsed: ({ task }) => task?.container?.mounts.some(isNewMount) === true },
  // Images without a registry.
  { since: 2, isUsed: ({ task }) => (task?.container?.imageId ?? "") !== "" },
  // MAC addresses, link-local addresses and names of interfaces.
  {
    since: 2,
    isUsed: ({ task }) =>
      task?.networks.some(
        ({ macAddress, linkLocalIps, interfaceName }) =>
          macAddress !== "" || linkLocalIps.length > 0 || interfaceName !== "",
      ) === true,
  },
  // Hooks, device requests, links, and limits of disks and CPU periods.
  { since: 2, isUsed: ({ task }) => task?.container !== undefined && hasNewSettings(task.container) },
  // Namespaces and mounts of other services.
  { since: 2, isUsed: ({ task }) => task?.container?.sharing !== undefined },
];

function isNewMount({ kind }: Mount): boolean {
  switch (kind?.$case) {
    case "bind":
      return kind.value.selinux !== "" || kind.value.recursive !== "";
    case "volume":
      return kind.value.subpath !== "";
    case "tmpfs":
      return kind.value.options.length > 0;
    case "image":
    case "shipped":
      return true;
    case undefined:
      return false;
    default:
      return assertNever(kind);
  }
}

function hasNewSettings(container: ContainerSpec): boolean {
  const { postStart, preStop, deviceRequests, blockIo, links } = container;
  const { cpuPeriodUs, cpuQuotaUs, cpuRealtimePeriodUs, cpuRealtimeRuntimeUs } = container;
  return (
    postStart.length + preStop.length + deviceRequests.length + Object.keys(links).length > 0 ||
    blockIo !== undefined ||
    [cpuPeriodUs, cpuQuotaUs, cpuRealtimePeriodUs, cpuRealtimeRuntimeUs].some((us) => us !== 0)
  );
}

/** Returns the version of the protocol that an agent must speak to run the tasks of a spec. */
export function requiredProtocol(spec: ServiceSpec): number {
  return Math.max(1, ...PROTOCOL_FEATURES.filter(({ isUsed }) => isUsed(spec)).map(({ since }) => since));
}

/** Returns the newest version of the protocol that the agent of a node speaks. */
export function agentProtocol(description: NodeDescription | undefined): number {
  return description?.protocolVersion || 1;
}
