/** One flag of `berth service update`, as help and completion show it. What it does stands in `edits/`. */
export interface UpdateFlag {
  /** How its value is written; absent: it has none, and `--no-NAME` takes it back. */
  readonly value?: string;
  readonly description: string;
  /** It may be given several times. */
  readonly isRepeatable?: boolean;
  readonly choices?: readonly string[];
}

const ORDERS = ["start-first", "stop-first"] as const;

/**
 * In the order in which they are applied: what is removed goes before what is added. Nothing is imported here, so
 * that the grammar of the command line stays quick to load.
 */
export const UPDATE_FLAGS = {
  image: one("image", "image of the containers"),
  args: one("command line", "command of the containers, empty: the image's own"),
  entrypoint: one("command line", "entrypoint of the containers, empty: the image's own"),
  user: one("name|uid[:group|gid]", "user in the containers"),
  workdir: one("path", "working directory in the containers"),
  hostname: one("name", "hostname of the containers, {{.Task.Slot}} and the like allowed"),
  "stop-signal": one("signal", "signal that asks the containers to end"),
  "stop-grace-period": one("duration", "time between the stop signal and the kill"),
  init: toggle("run an init inside the containers"),
  "read-only": toggle("mount the containers' root read-only"),
  tty: toggle("give the containers a terminal"),
  "env-rm": many("key", "remove an environment variable"),
  "env-add": many("key=value", "add an environment variable, or change it"),
  "label-rm": many("key", "remove a label of the service"),
  "label-add": many("key=value", "add a label of the service, or change it"),
  "container-label-rm": many("key", "remove a label of the containers"),
  "container-label-add": many("key=value", "add a label of the containers, or change it"),
  "mount-rm": many("target", "remove what is mounted at a path"),
  "mount-add": many("mount", "mount something: type=volume,source=data,target=/data"),
  "publish-rm": many("target[/protocol]", "publish a port of the containers no more"),
  "publish-add": many("port", "publish a port: 8080:80/tcp, or published=8080,target=80,mode=host"),
  replicas: one("count", "tasks of a replicated service, completions of a job"),
  "max-concurrent": one("count", "tasks of a job at once, 0: all"),
  "replicas-max-per-node": one("count", "tasks on one node at most, 0: no limit"),
  "constraint-rm": many("constraint", "remove a placement constraint"),
  "constraint-add": many("constraint", "add a placement constraint: node.labels.zone == a"),
  "placement-pref-rm": many("preference", "remove a placement preference"),
  "placement-pref-add": many("preference", "add a placement preference: spread=node.labels.zone"),
  "limit-cpu": one("cpus", "CPUs that a task may use, 0: no limit"),
  "limit-memory": one("bytes", "memory that a task may use, 0: no limit"),
  "limit-pids": one("count", "processes that a task may have, 0: no limit"),
  "reserve-cpu": one("cpus", "CPUs that are set aside for a task"),
  "reserve-memory": one("bytes", "memory that is set aside for a task"),
  "generic-resource-rm": many("kind", "set a generic resource aside no more"),
  "generic-resource-add": many("kind=count", "set a generic resource of the node aside: gpu=1"),
  "restart-condition": one("condition", "when an ended task is replaced", ["any", "on-failure", "none"]),
  "restart-delay": one("duration", "wait before a task is replaced"),
  "restart-max-attempts": one("count", "replacements of a task at most, 0: no limit"),
  "restart-window": one("duration", "failures older than this do not count, 0: all count"),
  "update-parallelism": one("count", "tasks updated at once, 0: all"),
  "update-delay": one("duration", "wait between two batches of an update"),
  "update-order": one("order", "whether the new task starts before the old one stops", ORDERS),
  "update-failure-action": one("action", "what follows when an update fails", [
    "rollback",
    "pause",
    "continue",
  ]),
  "update-monitor": one("duration", "how long a new task is watched for failure"),
  "update-max-failure-ratio": one("ratio", "share of the tasks whose failures are borne, 0 to 1"),
  "rollback-parallelism": one("count", "tasks rolled back at once, 0: all"),
  "rollback-delay": one("duration", "wait between two batches of a rollback"),
  "rollback-order": one("order", "whether the new task starts before the old one stops", ORDERS),
  "rollback-failure-action": one("action", "what follows when a rollback fails", ["pause", "continue"]),
  "rollback-monitor": one("duration", "how long a task is watched for failure after a rollback"),
  "rollback-max-failure-ratio": one("ratio", "share of the tasks whose failures are borne, 0 to 1"),
  "progress-deadline": one("duration", "an update that gets no further for so long has failed, 0: never"),
  "health-cmd": one("command line", "command that says whether a container is healthy"),
  "health-interval": one("duration", "time between two checks"),
  "health-timeout": one("duration", "time that one check may take"),
  "health-retries": one("count", "failures in a row until a container is unhealthy"),
  "health-start-period": one("duration", "time to start up, in which failures do not count"),
  "health-start-interval": one("duration", "time between two checks in the start period"),
  "no-healthcheck": { description: "no check, not even the image's own" },
  "log-driver": one("name", "log driver of the containers; takes the options of the former one away"),
  "log-opt": many("key=value", "add an option of the log driver, or change it"),
  "cap-add": many("capability", "add a Linux capability"),
  "cap-drop": many("capability", "drop a Linux capability"),
  "sysctl-rm": many("key", "remove a kernel parameter"),
  "sysctl-add": many("key=value", "add a kernel parameter, or change it"),
  "ulimit-rm": many("name", "remove a ulimit"),
  "ulimit-add": many("name=soft[:hard]", "add a ulimit, or change it"),
  "group-rm": many("group", "remove a further group of the user"),
  "group-add": many("group", "add a further group of the user"),
  "dns-rm": many("address", "remove a DNS server"),
  "dns-add": many("address", "add a DNS server"),
  "dns-search-rm": many("domain", "remove a DNS search domain"),
  "dns-search-add": many("domain", "add a DNS search domain"),
  "dns-option-rm": many("option", "remove a DNS option"),
  "dns-option-add": many("option", "add a DNS option"),
  "host-rm": many("host[:address]", "remove an entry of /etc/hosts"),
  "host-add": many("host:address", "add an entry of /etc/hosts"),
} as const satisfies Readonly<Record<string, UpdateFlag>>;

export type UpdateFlagName = keyof typeof UPDATE_FLAGS;

function one(value: string, description: string, choices?: readonly string[]): UpdateFlag {
  return choices === undefined ? { value, description } : { value, description, choices };
}

function many(value: string, description: string): UpdateFlag {
  return { value, description, isRepeatable: true };
}

function toggle(description: string): UpdateFlag {
  return { description };
}
