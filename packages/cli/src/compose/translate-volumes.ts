import { scopedName, VolumeMount } from "@berth/proto";
import type { Project } from "./keys/stack-context.js";
import { type Cursor, readFields, readFlag, readText, readTextMap } from "./tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "./tree/key-table.js";
import { isNull } from "./tree/node.js";

interface VolumeDraft {
  name: string | undefined;
  isExternal: boolean;
  readonly mount: VolumeMount;
}

const NAME_KEY: KeyTable<VolumeDraft> = {
  name: rule(readText, (volume, name) => {
    volume.name = name;
  }),
};

const VOLUME_KEYS: KeyTable<VolumeDraft> = {
  ...NAME_KEY,
  driver: rule(readText, (volume, driver) => {
    volume.mount.driver = driver;
  }),
  driver_opts: rule(readTextMap, (volume, options) => {
    volume.mount.driverOpts = options;
  }),
  labels: rule(readTextMap, (volume, labels) => {
    volume.mount.labels = labels;
  }),
  external: readExternal,
};

/**
 * Returns the named volumes of a stack by the names that services use. On the nodes, a volume of the stack is called
 * `<stack>_<name>` unless it sets `name`. An external volume keeps its name.
 */
export function translateVolumes(cursor: Cursor, project: Project): ReadonlyMap<string, VolumeMount> {
  const volumes = new Map<string, VolumeMount>();
  for (const [key, field] of readFields(cursor) ?? []) {
    const volume: VolumeDraft = { name: undefined, isExternal: false, mount: VolumeMount.fromPartial({}) };
    if (!isNull(field.node)) applyKeys(field, VOLUME_KEYS, volume);
    const { mount, isExternal } = volume;
    if (isExternal && (mount.driver !== "" || Object.keys(mount.driverOpts).length > 0)) {
      field.diagnostics.error(field, "an external volume cannot have driver or driver_opts");
    }
    const name = volume.name ?? (isExternal ? key : scopedName(project.stack, key));
    volumes.set(key, { ...mount, name });
  }
  return volumes;
}

/** Reads `external: true`, or the old form `external: {name: …}`. */
function readExternal(cursor: Cursor, volume: VolumeDraft): void {
  if (cursor.node.kind === "map") {
    volume.isExternal = true;
    applyKeys(cursor, NAME_KEY, volume);
  } else volume.isExternal = readFlag(cursor) ?? false;
}
