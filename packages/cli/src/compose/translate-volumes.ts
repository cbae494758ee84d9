import { VolumeMount } from "@berth/proto";
import { ignoreKey } from "./keys/unsupported-keys.js";
import { type Cursor, readText, readTextMap } from "./tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "./tree/key-table.js";
import { isNull } from "./tree/node.js";

const VOLUME_KEYS: KeyTable<VolumeMount> = {
  name: rule(readText, (mount, name) => {
    mount.name = name;
  }),
  driver: rule(readText, (mount, driver) => {
    mount.driver = driver;
  }),
  driver_opts: rule(readTextMap, (mount, options) => {
    mount.driverOpts = options;
  }),
  labels: rule(readTextMap, (mount, labels) => {
    mount.labels = labels;
  }),
  // Docker creates a volume that does not exist. Whether it is external only determines its name.
  external: ignoreKey(),
};

/** Returns the named volumes of a stack by the names that services use. */
export function translateVolumes(volumes: ReadonlyMap<string, Cursor>): ReadonlyMap<string, VolumeMount> {
  const translated = [...volumes].map(([key, cursor]) => {
    const mount = VolumeMount.fromPartial({});
    if (!isNull(cursor.node)) applyKeys(cursor, VOLUME_KEYS, mount);
    return [key, mount] as const;
  });
  return new Map(translated);
}
