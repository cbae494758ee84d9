import { serviceNameProblem } from "@berth/proto";
import { build } from "./build-shape.js";
import { deploy } from "./deploy-shape.js";
import { mounts } from "./mount-shapes.js";
import { ports } from "./port-shapes.js";
import {
  attachments,
  dependencies,
  devices,
  driverOptions,
  envFiles,
  extension,
  extraHosts,
  fileMounts,
  gpus,
  healthTest,
  hooks,
  logging,
  modelReferences,
  names,
  preStartHooks,
  ulimits,
} from "./service-shapes.js";
import {
  bytes,
  commandLine,
  cpus,
  decimal,
  dictionary,
  duration,
  fields,
  flag,
  integer,
  keyValues,
  listOf,
  matching,
  nullable,
  oneOf,
  oneOrMore,
  type Shape,
  scalarAsText,
  text,
  truncatedInteger,
} from "./shape.js";

const PULL_POLICY =
  /^(?:always|never|build|if_not_present|missing|refresh|daily|weekly|every_(?:[0-9]+[wdhms])+)$/;
const CONTAINER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** A list of text in which a later item replaces an equal one. */
const uniqueTexts = { keyOf: (item: { readonly kind: string; readonly text?: string }) => item.text ?? "" };

const blkioLimits = listOf(fields({ path: text, rate: bytes }));

/** The keys of a service that describe its image and its process. */
const PROCESS_KEYS = {
  image: text,
  build,
  pull_policy: matching(PULL_POLICY, "use always, missing, never, build, daily, weekly or every_12h"),
  pull_refresh_after: text,
  platform: text,
  command: nullable(commandLine),
  entrypoint: nullable(commandLine),
  environment: keyValues(),
  env_file: envFiles,
  working_dir: text,
  user: text,
  group_add: listOf(scalarAsText, { isSet: true }),
  hostname: text,
  domainname: text,
  container_name: matching(CONTAINER_NAME, "use at least two letters, digits, -, _ or ."),
  tty: flag,
  stdin_open: flag,
  init: flag,
  stop_signal: text,
  stop_grace_period: duration,
  healthcheck: fields({
    disable: flag,
    interval: duration,
    retries: truncatedInteger,
    test: healthTest,
    timeout: duration,
    start_period: duration,
    start_interval: duration,
  }),
  pre_start: preStartHooks,
  post_start: hooks,
  pre_stop: hooks,
  restart: text,
  labels: keyValues(""),
  label_file: oneOrMore(text),
  annotations: keyValues(""),
  logging,
  attach: flag,
} satisfies Readonly<Record<string, Shape>>;

/** The keys of a service that describe its networks, ports, mounts and files. */
const CONNECTION_KEYS = {
  ports,
  expose: listOf(scalarAsText, uniqueTexts),
  networks: attachments,
  network_mode: text,
  mac_address: text,
  dns: oneOrMore(text, uniqueTexts),
  dns_opt: listOf(text, uniqueTexts),
  dns_search: oneOrMore(text, uniqueTexts),
  extra_hosts: extraHosts,
  links: listOf(text, uniqueTexts),
  external_links: names,
  volumes: mounts,
  volumes_from: names,
  volume_driver: text,
  tmpfs: oneOrMore(text, uniqueTexts),
  secrets: fileMounts("secret"),
  configs: fileMounts("config"),
  depends_on: dependencies,
} satisfies Readonly<Record<string, Shape>>;

/** The keys of a service that describe its privileges and resources. */
const RESOURCE_KEYS = {
  privileged: flag,
  read_only: flag,
  cap_add: listOf(text, uniqueTexts),
  cap_drop: listOf(text, uniqueTexts),
  security_opt: names,
  sysctls: keyValues(""),
  devices,
  device_cgroup_rules: names,
  gpus,
  runtime: text,
  pid: nullable(text),
  ipc: text,
  uts: text,
  userns_mode: text,
  cgroup: oneOf("host", "private"),
  cgroup_parent: text,
  isolation: text,
  credential_spec: fields({ config: text, file: text, registry: text }),
  ulimits,
  shm_size: bytes,
  cpus,
  cpuset: text,
  cpu_count: integer,
  cpu_percent: decimal,
  cpu_period: integer,
  cpu_quota: integer,
  cpu_rt_period: integer,
  cpu_rt_runtime: integer,
  cpu_shares: integer,
  mem_limit: bytes,
  mem_reservation: bytes,
  mem_swappiness: bytes,
  memswap_limit: bytes,
  pids_limit: integer,
  oom_kill_disable: flag,
  oom_score_adj: integer,
  storage_opt: driverOptions,
  blkio_config: fields({
    weight: integer,
    weight_device: listOf(fields({ path: text, weight: integer })),
    device_read_bps: blkioLimits,
    device_read_iops: blkioLimits,
    device_write_bps: blkioLimits,
    device_write_iops: blkioLimits,
  }),
} satisfies Readonly<Record<string, Shape>>;

const watch = listOf(
  fields(
    {
      path: text,
      action: oneOf("rebuild", "sync", "restart", "sync+restart", "sync+exec"),
      target: text,
      ignore: oneOrMore(text),
      include: oneOrMore(text),
      exec: fields({
        command: nullable(commandLine),
        user: text,
        privileged: flag,
        working_dir: text,
        environment: keyValues(),
      }),
      initial_sync: flag,
    },
    ["path", "action"],
  ),
);

const service = fields({
  ...PROCESS_KEYS,
  ...CONNECTION_KEYS,
  ...RESOURCE_KEYS,
  deploy: nullable(deploy),
  scale: integer,
  profiles: listOf(text, uniqueTexts),
  extends: extension,
  develop: nullable(fields({ watch })),
  provider: fields({ type: text, options: dictionary(oneOrMore(scalarAsText)) }, ["type"]),
  models: modelReferences,
  use_api_socket: flag,
});

/** `services`. */
export const services: Shape = dictionary(service, serviceNameProblem);
