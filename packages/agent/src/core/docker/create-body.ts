/**
 * The part of the body of Docker's `POST /containers/create` that berth sets, with the field names of the Engine API.
 */
export interface CreateBody {
  readonly Image: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly Hostname?: string;
  readonly Domainname?: string;
  readonly Tty?: boolean;
  readonly OpenStdin?: boolean;
  /** Whether the container's standard input is closed when the first client closes it. */
  readonly StdinOnce?: boolean;
  readonly StopSignal?: string;
  /** The grace period, in seconds. */
  readonly StopTimeout: number;
  readonly Healthcheck?: HealthcheckBody;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  readonly HostConfig: HostConfigBody;
  /** The endpoint in the network that `HostConfig.NetworkMode` names. Docker before 25.0 accepts only one here. */
  readonly NetworkingConfig?: { readonly EndpointsConfig: Readonly<Record<string, EndpointBody>> };
}

/** The settings of a container in one network. */
export interface EndpointBody {
  readonly IPAMConfig?: { readonly IPv4Address?: string; readonly LinkLocalIPs?: readonly string[] };
  readonly MacAddress?: string;
  readonly DriverOpts?: Readonly<Record<string, string>>;
  /** The network with the highest priority provides the default route. Unknown to Docker before 28.0. */
  readonly GwPriority?: number;
}

/** A healthcheck. Durations are in nanoseconds. */
export interface HealthcheckBody {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

export interface HostConfigBody {
  readonly RestartPolicy: { readonly Name: "no" };
  /** "default", "bridge", "host", "none", the name of a network, or "container:ID". */
  readonly NetworkMode: string;
  readonly PortBindings?: Readonly<Record<string, readonly PortBindingBody[]>>;
  readonly Binds?: readonly string[];
  readonly Mounts?: readonly MountBody[];
  readonly Tmpfs?: Readonly<Record<string, string>>;
  readonly DeviceRequests?: readonly DeviceRequestBody[];
  readonly CpuPeriod?: number;
  readonly CpuQuota?: number;
  readonly CpuRealtimePeriod?: number;
  readonly CpuRealtimeRuntime?: number;
  readonly BlkioWeight?: number;
  readonly BlkioWeightDevice?: readonly { readonly Path: string; readonly Weight: number }[];
  readonly BlkioDeviceReadBps?: readonly ThrottleBody[];
  readonly BlkioDeviceWriteBps?: readonly ThrottleBody[];
  readonly BlkioDeviceReadIOps?: readonly ThrottleBody[];
  readonly BlkioDeviceWriteIOps?: readonly ThrottleBody[];
  /** "ID" or "ID:ro" of the containers whose mounts the container shares. */
  readonly VolumesFrom?: readonly string[];
  readonly NanoCpus?: number;
  readonly Memory?: number;
  readonly MemoryReservation?: number;
  readonly MemorySwap?: number;
  readonly MemorySwappiness?: number;
  readonly CpuShares?: number;
  readonly CpusetCpus?: string;
  readonly PidsLimit?: number;
  readonly OomScoreAdj?: number;
  readonly OomKillDisable?: boolean;
  readonly CapAdd?: readonly string[];
  readonly CapDrop?: readonly string[];
  readonly Privileged?: boolean;
  readonly ReadonlyRootfs?: boolean;
  readonly Init?: boolean;
  readonly Devices?: readonly DeviceBody[];
  readonly DeviceCgroupRules?: readonly string[];
  readonly ShmSize?: number;
  readonly Sysctls?: Readonly<Record<string, string>>;
  readonly Ulimits?: readonly UlimitBody[];
  readonly ExtraHosts?: readonly string[];
  readonly Dns?: readonly string[];
  readonly DnsSearch?: readonly string[];
  readonly DnsOptions?: readonly string[];
  readonly LogConfig?: { readonly Type: string; readonly Config: Readonly<Record<string, string>> };
  readonly SecurityOpt?: readonly string[];
  readonly GroupAdd?: readonly string[];
  readonly PidMode?: string;
  readonly IpcMode?: string;
  readonly UTSMode?: string;
  readonly UsernsMode?: string;
  readonly CgroupParent?: string;
  readonly CgroupnsMode?: string;
  readonly Runtime?: string;
  readonly StorageOpt?: Readonly<Record<string, string>>;
  readonly Annotations?: Readonly<Record<string, string>>;
}

export interface PortBindingBody {
  readonly HostIp: string;
  /** Empty to let Docker pick a free port. */
  readonly HostPort: string;
}

export interface MountBody {
  readonly Type: "bind" | "volume" | "tmpfs" | "image";
  readonly Source?: string;
  readonly Target: string;
  readonly ReadOnly: boolean;
  readonly BindOptions?: {
    readonly Propagation?: string;
    readonly CreateMountpoint?: boolean;
    readonly NonRecursive?: boolean;
    readonly ReadOnlyNonRecursive?: boolean;
    readonly ReadOnlyForceRecursive?: boolean;
  };
  readonly VolumeOptions?: {
    readonly NoCopy: boolean;
    readonly Labels: Readonly<Record<string, string>>;
    readonly DriverConfig?: { readonly Name: string; readonly Options: Readonly<Record<string, string>> };
    readonly Subpath?: string;
  };
  readonly TmpfsOptions?: { readonly SizeBytes?: number; readonly Mode?: number };
  readonly ImageOptions?: { readonly Subpath: string };
}

/** A request for devices of a driver. */
export interface DeviceRequestBody {
  readonly Driver: string;
  /** -1 for all devices. */
  readonly Count: number;
  readonly DeviceIDs?: readonly string[];
  /** Alternative lists of capabilities that the driver must have. */
  readonly Capabilities: readonly (readonly string[])[];
  readonly Options: Readonly<Record<string, string>>;
}

/** A limit for a block device, in bytes or operations per second. */
export interface ThrottleBody {
  readonly Path: string;
  readonly Rate: number;
}

export interface DeviceBody {
  readonly PathOnHost: string;
  readonly PathInContainer: string;
  readonly CgroupPermissions: string;
}

export interface UlimitBody {
  readonly Name: string;
  readonly Soft: number;
  readonly Hard: number;
}
