import { Healthcheck, LogDriver } from "@berth/proto";
import { type Edit, edit, inContainer, inHealthcheck } from "./edit.js";
import {
  anyText,
  booleanFlag,
  commandLine,
  count,
  durationMs,
  fullKeyValue,
  keyValue,
  nonEmptyText,
  replaced,
  without,
  withoutKey,
} from "./flag-values.js";
import { parseMountFlag } from "./parse-mount-flag.js";

/** The process of a container, and how it is stopped. */
const PROCESS_EDITS = {
  image: edit(
    nonEmptyText,
    inContainer((_, image) => ({ image })),
  ),
  args: edit(
    commandLine,
    inContainer((_, words) => ({ command: words.length === 0 ? undefined : { values: [...words] } })),
  ),
  entrypoint: edit(
    commandLine,
    inContainer((_, words) => ({ entrypoint: words.length === 0 ? undefined : { values: [...words] } })),
  ),
  user: edit(
    anyText,
    inContainer((_, user) => ({ user })),
  ),
  workdir: edit(
    anyText,
    inContainer((_, workingDir) => ({ workingDir })),
  ),
  hostname: edit(
    anyText,
    inContainer((_, hostname) => ({ hostname })),
  ),
  "stop-signal": edit(
    anyText,
    inContainer((_, stopSignal) => ({ stopSignal })),
  ),
  "stop-grace-period": edit(
    durationMs,
    inContainer((_, stopGraceMs) => ({ stopGraceMs })),
  ),
  init: edit(
    booleanFlag,
    inContainer((_, init) => ({ init })),
  ),
  "read-only": edit(
    booleanFlag,
    inContainer((_, readOnly) => ({ readOnly })),
  ),
  tty: edit(
    booleanFlag,
    inContainer((_, tty) => ({ tty })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Environment variables, and labels of the service and its containers. */
const LABEL_EDITS = {
  "env-rm": edit(
    nonEmptyText,
    inContainer(({ env }, name) => ({ env: without(env, hasName(name)) })),
  ),
  "env-add": edit(
    fullKeyValue,
    inContainer(({ env }, { key, value }) => ({ env: replaced(env, hasName(key), `${key}=${value}`) })),
  ),
  "label-rm": edit(nonEmptyText, (spec, key) => ({ ...spec, labels: withoutKey(spec.labels, key) })),
  "label-add": edit(keyValue, (spec, { key, value }) => ({
    ...spec,
    labels: { ...spec.labels, [key]: value },
  })),
  "container-label-rm": edit(
    nonEmptyText,
    inContainer(({ labels }, key) => ({ labels: withoutKey(labels, key) })),
  ),
  "container-label-add": edit(
    keyValue,
    inContainer(({ labels }, { key, value }) => ({ labels: { ...labels, [key]: value } })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Mounts, of which a container has one at each target path. */
const MOUNT_EDITS = {
  "mount-rm": edit(
    nonEmptyText,
    inContainer(({ mounts }, target) => ({ mounts: without(mounts, hasTarget(target)) })),
  ),
  "mount-add": edit(
    parseMountFlag,
    inContainer(({ mounts }, mount) => ({ mounts: replaced(mounts, hasTarget(mount.target), mount) })),
  ),
} satisfies Readonly<Record<string, Edit>>;

const HEALTH_EDITS = {
  "health-cmd": edit(
    nonEmptyText,
    inHealthcheck((_, line) => ({ test: ["CMD-SHELL", line] })),
  ),
  "health-interval": edit(
    durationMs,
    inHealthcheck((_, intervalMs) => ({ intervalMs })),
  ),
  "health-timeout": edit(
    durationMs,
    inHealthcheck((_, timeoutMs) => ({ timeoutMs })),
  ),
  "health-retries": edit(
    count,
    inHealthcheck((_, retries) => ({ retries })),
  ),
  "health-start-period": edit(
    durationMs,
    inHealthcheck((_, startPeriodMs) => ({ startPeriodMs })),
  ),
  "health-start-interval": edit(
    durationMs,
    inHealthcheck((_, startIntervalMs) => ({ startIntervalMs })),
  ),
  "no-healthcheck": edit(
    booleanFlag,
    inContainer(() => ({ healthcheck: Healthcheck.fromPartial({ test: ["NONE"] }) })),
  ),
} satisfies Readonly<Record<string, Edit>>;

const LOGGING_EDITS = {
  "log-driver": edit(
    nonEmptyText,
    inContainer((_, name) => ({ logDriver: { name, options: {} } })),
  ),
  "log-opt": edit(
    fullKeyValue,
    inContainer(({ logDriver = LogDriver.fromPartial({}) }, { key, value }) => ({
      logDriver: { ...logDriver, options: { ...logDriver.options, [key]: value } },
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** The flags that change the container of a task, except its networking and security. */
export const CONTAINER_EDITS = {
  ...PROCESS_EDITS,
  ...LABEL_EDITS,
  ...MOUNT_EDITS,
  ...HEALTH_EDITS,
  ...LOGGING_EDITS,
};

function hasName(name: string): (variable: string) => boolean {
  return (variable) => variable.startsWith(`${name}=`);
}

/** Matches the mount at a path, with or without a slash at its end. */
function hasTarget(path: string): (mount: { readonly target: string }) => boolean {
  const withoutSlash = (target: string): string => target.replace(/\/+$/, "");
  return ({ target }) => withoutSlash(target) === withoutSlash(path);
}
