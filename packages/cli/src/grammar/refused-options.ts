import type { RefusedOption } from "./command-options.js";

const ATTACHMENT = "berth run attaches STDOUT and STDERR, or nothing with -d; use -i for STDIN";
const BLOCK_IO = "it is a setting of Compose files only; use blkio_config in a Compose file";
const NETWORK_ADDRESS = "it belongs to one network; use --network name=NETWORK,";
const NO_PORTS = "a job publishes no ports; use berth port-forward, or berth service create --publish";
const NO_TEMPLATES = "berth has no Go templates; use -o json";
const WINDOWS = "it has an effect on Windows only; use --cpus or --memory";

/** Options of `docker run` that have no counterpart on a cluster. */
export const REFUSED_RUN_OPTIONS: readonly RefusedOption[] = [
  { flags: "-a, --attach <stream>", reason: ATTACHMENT },
  { flags: "--blkio-weight <weight>", reason: BLOCK_IO },
  { flags: "--blkio-weight-device <device>", reason: BLOCK_IO },
  { flags: "--cidfile <file>", reason: "the task gets its container later; use berth ps --no-trunc -o json" },
  { flags: "--cpu-count <count>", reason: WINDOWS },
  { flags: "--cpu-percent <percent>", reason: WINDOWS },
  { flags: "--cpuset-mems <nodes>", reason: "berth does not select memory nodes; use --cpuset-cpus" },
  { flags: "--device-read-bps <rate>", reason: BLOCK_IO },
  { flags: "--device-read-iops <rate>", reason: BLOCK_IO },
  { flags: "--device-write-bps <rate>", reason: BLOCK_IO },
  { flags: "--device-write-iops <rate>", reason: BLOCK_IO },
  { flags: "--disable-content-trust [boolean]", reason: "berth verifies no signatures; remove the option" },
  {
    flags: "--expose <port>",
    reason: "containers of a network reach all ports of each other; remove the option",
  },
  { flags: "--io-maxbandwidth <bytes>", reason: WINDOWS },
  { flags: "--io-maxiops <count>", reason: WINDOWS },
  { flags: "--ip <address>", reason: `${NETWORK_ADDRESS}ip=ADDRESS` },
  {
    flags: "--ip6 <address>",
    reason: "the networks of the cluster have no IPv6; use --network name=NETWORK,ip=ADDRESS",
  },
  { flags: "--isolation <technology>", reason: WINDOWS },
  { flags: "--kernel-memory <bytes>", reason: "Linux has no such limit any more; use --memory" },
  { flags: "--label-file <file>", reason: "berth reads labels from the command line only; use --label" },
  { flags: "--link <container>", reason: "services of a network find each other by name; use --network" },
  { flags: "--link-local-ip <address>", reason: `${NETWORK_ADDRESS}link-local-ip=ADDRESS` },
  { flags: "--mac-address <address>", reason: `${NETWORK_ADDRESS}mac-address=ADDRESS` },
  { flags: "--network-alias <alias>", reason: `${NETWORK_ADDRESS}alias=ALIAS` },
  { flags: "-p, --publish <port>", reason: NO_PORTS },
  { flags: "-P, --publish-all", reason: NO_PORTS },
  {
    flags: "--restart <policy>",
    reason: "berth run does not restart its container; use berth service create --restart-condition",
  },
  {
    flags: "--use-api-socket",
    reason:
      "berth gives no container your Docker credentials; use -v /var/run/docker.sock:/var/run/docker.sock",
  },
  {
    flags: "--volume-driver <driver>",
    reason: "it belongs to one volume; use --mount …,volume-driver=DRIVER",
  },
  {
    flags: "--volumes-from <container>",
    reason: "the other container may be on another node; name the same volumes with -v",
  },
];

/** Options of `docker exec` that berth does not have. */
export const REFUSED_EXEC_OPTIONS: readonly RefusedOption[] = [
  {
    flags: "--detach-keys <keys>",
    reason: "the command ends when its client leaves; use -d to run it in the background",
  },
  {
    flags: "--privileged",
    reason: "a command has no more privileges than its container; use berth run --privileged",
  },
];

/** Options of `docker ps` that berth does not have. */
export const REFUSED_PS_OPTIONS: readonly RefusedOption[] = [
  { flags: "--format <template>", reason: NO_TEMPLATES },
  { flags: "-l, --latest", reason: "several tasks may be created at once; use -n 1" },
  {
    flags: "--size",
    reason: "agents do not measure the files of containers; use berth image df for the disk space of images",
  },
];

/** An option of several commands that print records with a Go template in Docker. */
export const REFUSED_FORMAT: readonly RefusedOption[] = [
  { flags: "--format <template>", reason: NO_TEMPLATES },
];

export const REFUSED_VOLUME_PRUNE_OPTIONS: readonly RefusedOption[] = [
  {
    flags: "--filter <filter>",
    reason: "berth removes all unused volumes; use berth volume ls -q -f FILTER and berth volume rm",
  },
];

export const REFUSED_IMAGE_LS_OPTIONS: readonly RefusedOption[] = [
  ...REFUSED_FORMAT,
  { flags: "--digests", reason: "an image without a registry has no digest but its ID; use -o json" },
  { flags: "-f, --filter <filter>", reason: "berth does not filter images; use -o json" },
  { flags: "--no-trunc", reason: "berth shortens IDs in tables only; use -o json" },
  { flags: "--tree", reason: "an image without a registry has one platform; remove the option" },
];

export const REFUSED_IMAGE_RM_OPTIONS: readonly RefusedOption[] = [
  {
    flags: "-f, --force",
    reason: "a service could not be rolled back without its image; remove the service first",
  },
  { flags: "--no-prune", reason: "berth removes only what it has distributed; remove the option" },
  {
    flags: "--platform <platform>",
    reason: "an image without a registry has one platform; remove the option",
  },
];

export const REFUSED_IMAGE_PRUNE_OPTIONS: readonly RefusedOption[] = [
  { flags: "-a, --all", reason: "berth always removes all unused images; remove the option" },
  {
    flags: "--filter <filter>",
    reason: "berth does not filter images; use berth image ls and berth image rm",
  },
  { flags: "-f, --force", reason: "berth does not ask for confirmation; remove the option" },
];

export const REFUSED_IMAGE_PUSH_OPTIONS: readonly RefusedOption[] = [
  { flags: "-a, --all-tags", reason: "berth sends one image to nodes; name each image" },
  {
    flags: "--platform <platform>",
    reason: "an image of the local Docker daemon has one platform; build it for the other one",
  },
];
