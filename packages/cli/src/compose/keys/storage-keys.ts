import { readItems, readOneOrMore } from "../tree/cursor.js";
import { addMount } from "./mount-draft.js";
import { rejectKey } from "./not-supported.js";
import { readLongMount } from "./read-long-mount.js";
import { readShortMount, readTmpfs } from "./read-short-mount.js";
import type { KeyTable, ServiceDraft } from "./service-draft.js";

export const STORAGE_KEYS: KeyTable<ServiceDraft> = {
  volumes: (cursor, draft) => {
    for (const item of readItems(cursor) ?? []) {
      const mount = item.node.kind === "map" ? readLongMount(item) : readShortMount(item);
      if (mount !== undefined) addMount(item, mount, draft);
    }
  },
  tmpfs: (cursor, draft) => {
    for (const item of readOneOrMore(cursor) ?? []) {
      const mount = readTmpfs(item);
      if (mount !== undefined) addMount(item, mount, draft);
    }
  },
  volumes_from: rejectKey("sharing the mounts of another container"),
  volume_driver: rejectKey("name the driver under the top-level volumes:"),
};
