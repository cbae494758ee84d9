import { devices, gpus } from "./device-shapes.js";
import { keyValues } from "./shapes/key-value-shapes.js";
import { listOf, nameSet, UNIQUE_TEXTS } from "./shapes/list-shapes.js";
import { dictionary, fields, type Keys, key } from "./shapes/map-shapes.js";
import { bytes, cpus } from "./shapes/quantity-shapes.js";
import { decimal, flag, integer, oneOf, text } from "./shapes/scalar-shapes.js";
import { anything, nullable } from "./shapes/shape.js";
import { DROPPED_BY_SWARM, IGNORED_BY_SWARM, REJECTED_BY_SWARM } from "./swarm-support.js";
import { ulimits } from "./ulimit-shape.js";

const blkioLimits = listOf(
  fields({
    path: key(text, "Block device", "/dev/sda"),
    rate: key(bytes, "Bytes or operations per second", "1m", { with: { path: "/dev/sda" } }),
  }),
);
const deviceLimit = [{ path: "/dev/sda", rate: "1m" }];

const blkioConfig = fields({
  weight: key(integer, "Share of the disk bandwidth", 300),
  weight_device: key(
    listOf(
      fields({
        path: key(text, "Block device", "/dev/sda"),
        weight: key(integer, "Share of the bandwidth of the device", 400, { with: { path: "/dev/sda" } }),
      }),
    ),
    "Bandwidth shares per device",
    [{ path: "/dev/sda", weight: 400 }],
  ),
  device_read_bps: key(blkioLimits, "Read limit in bytes per second", deviceLimit),
  device_read_iops: key(blkioLimits, "Read limit in operations per second", deviceLimit),
  device_write_bps: key(blkioLimits, "Write limit in bytes per second", deviceLimit),
  device_write_iops: key(blkioLimits, "Write limit in operations per second", deviceLimit),
});

const credentialSpec = fields({
  config: key(text, "Config with the credential specification", "conf"),
  file: key(text, "File with the credential specification", "my-credential-spec.json"),
  registry: key(text, "Windows registry value with the credential specification", "my-credential-spec"),
});

/** Keys of a service that describe its privileges and resources. */
export const RESOURCE_KEYS: Keys = {
  privileged: key(flag, "Gives the containers all privileges on their host", true, IGNORED_BY_SWARM),
  read_only: key(flag, "Makes the root file system read-only", true),
  cap_add: key(listOf(text, UNIQUE_TEXTS), "Linux capabilities to add", ["NET_ADMIN"]),
  cap_drop: key(listOf(text, UNIQUE_TEXTS), "Linux capabilities to drop", ["ALL"]),
  security_opt: key(
    nameSet,
    "AppArmor, SELinux and seccomp options",
    ["no-new-privileges"],
    IGNORED_BY_SWARM,
  ),
  sysctls: key(keyValues(""), "Kernel parameters in the containers", { "net.core.somaxconn": 1024 }),
  devices: key(devices, "Devices of the host", ["/dev/fuse"], {
    others: [["vendor.com/class=name"]],
    ...IGNORED_BY_SWARM,
  }),
  device_cgroup_rules: key(nameSet, "Device access rules", ["c 1:3 mr"], REJECTED_BY_SWARM),
  gpus: key(gpus, "GPUs of the host", "all", REJECTED_BY_SWARM),
  runtime: key(text, "OCI runtime", "runsc", REJECTED_BY_SWARM),
  pid: key(nullable(text), "Uses the PID namespace of the host or of another container", "host", {
    others: ["service:db"],
    ...IGNORED_BY_SWARM,
  }),
  ipc: key(text, "Uses the IPC namespace of the host or of another container", "host", {
    others: ["shareable", "service:db"],
    ...IGNORED_BY_SWARM,
  }),
  uts: key(text, "Uses the UTS namespace of the host", "host", REJECTED_BY_SWARM),
  userns_mode: key(text, "Uses the user namespace of the host", "host", IGNORED_BY_SWARM),
  cgroup: key(oneOf("host", "private"), "cgroup namespace", "host", REJECTED_BY_SWARM),
  cgroup_parent: key(text, "Parent cgroup of the containers", "shop.slice", IGNORED_BY_SWARM),
  isolation: key(text, "Container isolation on Windows", "hyperv"),
  credential_spec: key(credentialSpec, "Container credentials on Windows", { file: "spec.json" }),
  ulimits: key(
    ulimits,
    "Resource limits of processes",
    { nofile: 1024 },
    { swarm: "rejects quoted numbers" },
  ),
  shm_size: key(bytes, "Size of /dev/shm", "128m", IGNORED_BY_SWARM),
  cpus: key(cpus, "Maximum number of CPUs", 0.5, REJECTED_BY_SWARM),
  cpuset: key(text, "CPUs that the containers can use", "0,1", REJECTED_BY_SWARM),
  cpu_count: key(integer, "Number of CPUs on Windows", 2, REJECTED_BY_SWARM),
  cpu_percent: key(decimal, "Percentage of the CPUs on Windows", 50, REJECTED_BY_SWARM),
  cpu_period: key(integer, "Period of the CPU limit, in µs", 50_000, REJECTED_BY_SWARM),
  cpu_quota: key(integer, "CPU time per period, in µs", 25_000, REJECTED_BY_SWARM),
  cpu_rt_period: key(integer, "Period of the real-time scheduler, in µs", 1_000_000, REJECTED_BY_SWARM),
  cpu_rt_runtime: key(integer, "Real-time CPU time per period, in µs", 950_000, REJECTED_BY_SWARM),
  cpu_shares: key(integer, "Relative CPU share under contention", 512, REJECTED_BY_SWARM),
  mem_limit: key(bytes, "Memory limit", "512m", REJECTED_BY_SWARM),
  mem_reservation: key(bytes, "Memory that a node must have free", "256m", {
    compose: "a hint for the kernel",
    ...REJECTED_BY_SWARM,
  }),
  mem_swappiness: key(bytes, "Swappiness of memory, from 0 to 100", 10, REJECTED_BY_SWARM),
  memswap_limit: key(bytes, "Limit of memory plus swap; -1 means unlimited swap", "1g", REJECTED_BY_SWARM),
  pids_limit: key(integer, "Maximum number of processes", 100, REJECTED_BY_SWARM),
  oom_kill_disable: key(flag, "Disables the OOM killer for the containers", true, REJECTED_BY_SWARM),
  oom_score_adj: key(integer, "OOM killer score adjustment, from -1000 to 1000", 500, DROPPED_BY_SWARM),
  // The values depend on the storage driver.
  storage_opt: key(dictionary(anything), "Storage driver options", { size: "10G" }, REJECTED_BY_SWARM),
  blkio_config: key(blkioConfig, "Disk bandwidth limits", { weight: 300 }, REJECTED_BY_SWARM),
};
