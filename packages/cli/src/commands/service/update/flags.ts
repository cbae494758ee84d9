/** A flag of `berth service update`, for parsing, help and shell completion. `EDITS` defines its effect. */
export interface UpdateFlag {
  /** Placeholder of the value. Undefined for boolean flags, which `--no-NAME` disables. */
  readonly value?: string;
  readonly description: string;
  /** Whether the flag can be given several times. */
  readonly isRepeatable?: boolean;
  readonly choices?: readonly string[];
}

const UPDATE_ORDERS = ["start-first", "stop-first"] as const;

/**
 * All flags that change a spec, in the order in which their edits are applied: removals before additions. This file has
 * no imports, so that the command line starts fast.
 */
export const UPDATE_FLAGS = {
  image: single("image", "service image"),
  args: single("command", "service command arguments (empty: the image's default)"),
  entrypoint: single("command", "service entrypoint (empty: the image's default)"),
  user: single("user", "username or UID (format: <name|uid>[:<group|gid>])"),
  workdir: single("path", "working directory inside the container"),
  hostname: single("hostname", "container hostname; templates such as {{.Task.Slot}} are allowed"),
  domainname: single("name", "container NIS domain name"),
  platform: single(
    "os/arch",
    "platform of the image, and of the nodes that run it (empty: that of the node)",
  ),
  "stop-signal": single("signal", "signal to stop the container"),
  "stop-grace-period": single("duration", "time to wait before killing a container"),
  init: toggle("use an init inside each container to forward signals and reap processes"),
  "read-only": toggle("mount the container's root filesystem read-only"),
  tty: toggle("allocate a pseudo-TTY"),
  "env-rm": repeatable("key", "remove an environment variable"),
  "env-add": repeatable("key=value", "add or update an environment variable"),
  "label-rm": repeatable("key", "remove a service label"),
  "label-add": repeatable("key=value", "add or update a service label"),
  "container-label-rm": repeatable("key", "remove a container label"),
  "container-label-add": repeatable("key=value", "add or update a container label"),
  "mount-rm": repeatable("target", "remove a mount by its target path"),
  "mount-add": repeatable("mount", "add or update a mount: type=volume,source=data,target=/data"),
  "secret-rm": repeatable("secret", "remove a secret"),
  "secret-add": repeatable(
    "secret",
    "add or update a secret: source=db_password,target=password,mode=0400; or source=db_password,env=PGPASSWORD, which docker inspect shows",
  ),
  "config-rm": repeatable("config", "remove a config"),
  "config-add": repeatable("config", "add or update a config: source=nginx_conf,target=/etc/nginx.conf"),
  "network-rm": repeatable("network", "remove a network"),
  "network-add": repeatable("network", "add or update a network: NAME or name=NAME,alias=ALIAS"),
  "endpoint-mode": single("mode", "endpoint mode", ["vip", "dnsrr"]),
  "publish-rm": repeatable("target[/protocol]", "remove a published port by its target port"),
  "publish-add": repeatable(
    "port",
    "add or update a published port: 8080:80/tcp or published=8080,target=80,mode=host",
  ),
  replicas: single("count", "number of tasks, or completions of a job"),
  "max-concurrent": single("count", "number of job tasks to run at a time (0: all)"),
  "replicas-max-per-node": single("count", "maximum number of tasks per node (0: unlimited)"),
  "constraint-rm": repeatable("constraint", "remove a placement constraint"),
  "constraint-add": repeatable("constraint", "add a placement constraint: node.labels.zone == a"),
  "placement-pref-rm": repeatable("preference", "remove a placement preference"),
  "placement-pref-add": repeatable("preference", "add a placement preference: spread=node.labels.zone"),
  "limit-cpu": single("cpus", "limit CPUs (0: unlimited)"),
  "limit-memory": single("bytes", "limit memory (0: unlimited)"),
  "limit-pids": single("count", "limit number of processes (0: unlimited)"),
  "reserve-cpu": single("cpus", "reserve CPUs"),
  "reserve-memory": single("bytes", "reserve memory"),
  "generic-resource-rm": repeatable("kind", "remove a generic resource"),
  "generic-resource-add": repeatable("kind=count", "add or update a generic resource: gpu=1"),
  "memory-swap": single("bytes", "limit memory plus swap (-1: unlimited swap, 0: Docker's default)"),
  "memory-swappiness": single("percentage", "tune memory swappiness (0 to 100)"),
  "shm-size": single("bytes", "size of /dev/shm (0: Docker's default)"),
  "oom-kill-disable": toggle("disable the OOM killer"),
  "cpu-shares": single("weight", "CPU shares, relative to other containers (0: Docker's default)"),
  "cpuset-cpus": single("cpus", "CPUs in which to allow execution: 0-3 or 0,1 (empty: all)"),
  "cpu-period": single("microseconds", "period of the CPU CFS (0: the kernel's default)"),
  "cpu-quota": single("microseconds", "CPU time in each period of the CPU CFS (-1: unlimited)"),
  "cpu-rt-period": single("microseconds", "period of the real-time scheduler (0: the kernel's default)"),
  "cpu-rt-runtime": single("microseconds", "CPU time in each period of the real-time scheduler"),
  "storage-opt-rm": repeatable("key", "remove a storage driver option"),
  "storage-opt-add": repeatable("key=value", "add or update a storage driver option"),
  "restart-condition": single("condition", "when to restart tasks", ["any", "on-failure", "none"]),
  "restart-delay": single("duration", "delay between restart attempts"),
  "restart-max-attempts": single("count", "maximum number of restarts before giving up (0: unlimited)"),
  "restart-window": single("duration", "window used to evaluate the restart policy (0: unlimited)"),
  "update-parallelism": single("count", "maximum number of tasks updated simultaneously (0: all)"),
  "update-delay": single("duration", "delay between updates"),
  "update-order": single("order", "update order", UPDATE_ORDERS),
  "update-failure-action": single("action", "action on update failure", ["rollback", "pause", "continue"]),
  "update-monitor": single("duration", "duration after each task update to monitor for failure"),
  "update-max-failure-ratio": single("ratio", "failure ratio to tolerate during an update (0 to 1)"),
  "rollback-parallelism": single("count", "maximum number of tasks rolled back simultaneously (0: all)"),
  "rollback-delay": single("duration", "delay between task rollbacks"),
  "rollback-order": single("order", "rollback order", UPDATE_ORDERS),
  "rollback-failure-action": single("action", "action on rollback failure", ["pause", "continue"]),
  "rollback-monitor": single("duration", "duration after each task rollback to monitor for failure"),
  "rollback-max-failure-ratio": single("ratio", "failure ratio to tolerate during a rollback (0 to 1)"),
  "progress-deadline": single("duration", "fail an update that makes no progress for this long (0: never)"),
  "health-cmd": single("command", "command to run to check health"),
  "health-interval": single("duration", "time between checks"),
  "health-timeout": single("duration", "maximum duration of one check"),
  "health-retries": single("count", "consecutive failures needed to report unhealthy"),
  "health-start-period": single("duration", "time for the container to initialize before failures count"),
  "health-start-interval": single("duration", "time between checks during the start period"),
  "no-healthcheck": { description: "disable all health checks, including the image's" },
  "log-driver": single("driver", "logging driver; resets the logging driver options"),
  "log-opt": repeatable("key=value", "add or update a logging driver option"),
  "oom-score-adj": single("score", "tune the host's OOM preferences (-1000 to 1000)"),
  "cap-add": repeatable("capability", "add a Linux capability"),
  "cap-drop": repeatable("capability", "drop a Linux capability"),
  privileged: toggle("give extended privileges to the container"),
  "security-opt-rm": repeatable("option", "remove a security option"),
  "security-opt-add": repeatable("option", "add a security option: no-new-privileges or seccomp=unconfined"),
  "device-rm": repeatable("path", "remove a device by its path in the container"),
  "device-add": repeatable("device", "add or update a device: SOURCE[:TARGET][:PERMISSIONS]"),
  "device-cgroup-rule-rm": repeatable("rule", "remove a device cgroup rule"),
  "device-cgroup-rule-add": repeatable("rule", "add a device cgroup rule: c 42:* rmw"),
  gpus: single("gpus", "GPU devices: all, a number, or device=0,1 (empty: none)"),
  pid: single("mode", "PID namespace: host (empty: its own)"),
  ipc: single("mode", "IPC namespace: host, private, shareable or none (empty: Docker's default)"),
  uts: single("mode", "UTS namespace: host (empty: its own)"),
  userns: single("mode", "user namespace: host (empty: that of the daemon)"),
  cgroupns: single("mode", "cgroup namespace: host or private (empty: Docker's default)"),
  "cgroup-parent": single("path", "parent cgroup of the container (empty: Docker's default)"),
  runtime: single("runtime", "runtime of the container (empty: Docker's default)"),
  "annotation-rm": repeatable("key", "remove an annotation for the OCI runtime"),
  "annotation-add": repeatable("key=value", "add or update an annotation for the OCI runtime"),
  "sysctl-rm": repeatable("key", "remove a sysctl option"),
  "sysctl-add": repeatable("key=value", "add or update a sysctl option"),
  "ulimit-rm": repeatable("name", "remove a ulimit option"),
  "ulimit-add": repeatable("name=soft[:hard]", "add or update a ulimit option"),
  "group-rm": repeatable("group", "remove a supplementary group"),
  "group-add": repeatable("group", "add a supplementary group"),
  "dns-rm": repeatable("address", "remove a custom DNS server"),
  "dns-add": repeatable("address", "add a custom DNS server"),
  "dns-search-rm": repeatable("domain", "remove a DNS search domain"),
  "dns-search-add": repeatable("domain", "add a custom DNS search domain"),
  "dns-option-rm": repeatable("option", "remove a DNS option"),
  "dns-option-add": repeatable("option", "add a DNS option"),
  "host-rm": repeatable("host[:address]", "remove a custom host-to-IP mapping"),
  "host-add": repeatable("host:address", "add a custom host-to-IP mapping"),
} as const satisfies Readonly<Record<string, UpdateFlag>>;

export type UpdateFlagName = keyof typeof UPDATE_FLAGS;

function single(value: string, description: string, choices?: readonly string[]): UpdateFlag {
  return choices === undefined ? { value, description } : { value, description, choices };
}

function repeatable(value: string, description: string): UpdateFlag {
  return { value, description, isRepeatable: true };
}

function toggle(description: string): UpdateFlag {
  return { description };
}
