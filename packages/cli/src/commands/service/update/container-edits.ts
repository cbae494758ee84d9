import { Healthcheck, LogDriver } from "@berth/proto";
import { withOperatingSystem } from "../../../compose/keys/image-keys.js";
import { type Parsed, valid } from "../../../compose/text/parsed.js";
import { parseDurationMs } from "../../../compose/text/units.js";
import { type Edit, edit, inContainer, inHealthcheck } from "./edit.js";
import {
  parseAssignment,
  parseBoolean,
  parseCommandLine,
  parseCount,
  parseKeyValue,
  parseNonEmptyText,
  parseText,
  removeKey,
  removeMatching,
  replaceMatching,
} from "./parse-flag-values.js";
import { parseMountFlag } from "./parse-mount-flag.js";

/** Flags for the process of a container. */
const PROCESS_EDITS = {
  image: edit(
    parseNonEmptyText,
    inContainer((_, image) => ({ image })),
  ),
  args: edit(
    parseCommandLine,
    inContainer((_, words) => ({ command: words.length === 0 ? undefined : { values: [...words] } })),
  ),
  entrypoint: edit(
    parseCommandLine,
    inContainer((_, words) => ({ entrypoint: words.length === 0 ? undefined : { values: [...words] } })),
  ),
  user: edit(
    parseText,
    inContainer((_, user) => ({ user })),
  ),
  workdir: edit(
    parseText,
    inContainer((_, workingDir) => ({ workingDir })),
  ),
  hostname: edit(
    parseText,
    inContainer((_, hostname) => ({ hostname })),
  ),
  domainname: edit(
    parseText,
    inContainer((_, domainname) => ({ domainname })),
  ),
  platform: edit(
    parsePlatform,
    inContainer((_, platform) => ({ platform })),
  ),
  "stop-signal": edit(
    parseText,
    inContainer((_, stopSignal) => ({ stopSignal })),
  ),
  "stop-grace-period": edit(
    parseDurationMs,
    inContainer((_, stopGraceMs) => ({ stopGraceMs })),
  ),
  init: edit(
    parseBoolean,
    inContainer((_, init) => ({ init })),
  ),
  "read-only": edit(
    parseBoolean,
    inContainer((_, readOnly) => ({ readOnly })),
  ),
  tty: edit(
    parseBoolean,
    inContainer((_, tty) => ({ tty })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Flags for environment variables, and for labels of the service and its containers. */
const METADATA_EDITS = {
  "env-rm": edit(
    parseNonEmptyText,
    inContainer(({ env }, name) => ({ env: removeMatching(env, hasName(name)) })),
  ),
  "env-add": edit(
    parseAssignment,
    inContainer(({ env }, { key, value }) => ({
      env: replaceMatching(env, hasName(key), `${key}=${value}`),
    })),
  ),
  "label-rm": edit(parseNonEmptyText, (spec, key) => ({ ...spec, labels: removeKey(spec.labels, key) })),
  "label-add": edit(parseKeyValue, (spec, { key, value }) => ({
    ...spec,
    labels: { ...spec.labels, [key]: value },
  })),
  "container-label-rm": edit(
    parseNonEmptyText,
    inContainer(({ labels }, key) => ({ labels: removeKey(labels, key) })),
  ),
  "container-label-add": edit(
    parseKeyValue,
    inContainer(({ labels }, { key, value }) => ({ labels: { ...labels, [key]: value } })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Flags for mounts. A container has at most one mount at each target path. */
const MOUNT_EDITS = {
  "mount-rm": edit(
    parseNonEmptyText,
    inContainer(({ mounts }, target) => ({ mounts: removeMatching(mounts, hasTarget(target)) })),
  ),
  "mount-add": edit(
    parseMountFlag,
    inContainer(({ mounts }, mount) => ({ mounts: replaceMatching(mounts, hasTarget(mount.target), mount) })),
  ),
} satisfies Readonly<Record<string, Edit>>;

const HEALTH_EDITS = {
  "health-cmd": edit(
    parseNonEmptyText,
    inHealthcheck((_, line) => ({ test: ["CMD-SHELL", line] })),
  ),
  "health-interval": edit(
    parseDurationMs,
    inHealthcheck((_, intervalMs) => ({ intervalMs })),
  ),
  "health-timeout": edit(
    parseDurationMs,
    inHealthcheck((_, timeoutMs) => ({ timeoutMs })),
  ),
  "health-retries": edit(
    parseCount,
    inHealthcheck((_, retries) => ({ retries })),
  ),
  "health-start-period": edit(
    parseDurationMs,
    inHealthcheck((_, startPeriodMs) => ({ startPeriodMs })),
  ),
  "health-start-interval": edit(
    parseDurationMs,
    inHealthcheck((_, startIntervalMs) => ({ startIntervalMs })),
  ),
  "no-healthcheck": edit(
    parseBoolean,
    inContainer(() => ({ healthcheck: Healthcheck.fromPartial({ test: ["NONE"] }) })),
  ),
} satisfies Readonly<Record<string, Edit>>;

const LOGGING_EDITS = {
  "log-driver": edit(
    parseNonEmptyText,
    inContainer((_, name) => ({ logDriver: { name, options: {} } })),
  ),
  "log-opt": edit(
    parseAssignment,
    inContainer(({ logDriver = LogDriver.fromPartial({}) }, { key, value }) => ({
      logDriver: { ...logDriver, options: { ...logDriver.options, [key]: value } },
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Flags that change the container of a task, except its networking and security. */
export const CONTAINER_EDITS = {
  ...PROCESS_EDITS,
  ...METADATA_EDITS,
  ...MOUNT_EDITS,
  ...HEALTH_EDITS,
  ...LOGGING_EDITS,
};

/** Parses a platform. As in Docker, an architecture without an operating system stands for Linux. */
function parsePlatform(text: string): Parsed<string> {
  return valid(withOperatingSystem(text.trim()));
}

function hasName(name: string): (variable: string) => boolean {
  return (variable) => variable.startsWith(`${name}=`);
}

/** Matches the mount at a path, with or without trailing slashes. */
function hasTarget(path: string): (mount: { readonly target: string }) => boolean {
  const trimSlashes = (target: string): string => target.replace(/\/+$/, "");
  return ({ target }) => trimSlashes(target) === trimSlashes(path);
}
