import type { Resources } from "@berth/proto";
import {
  type Cursor,
  keyPlace,
  readBytes,
  readInteger,
  readItems,
  readNanoCpus,
  readText,
} from "../tree/cursor.js";
import { applyKeys, type KeyRule, type KeyTable, rule } from "../tree/key-table.js";
import { readDeviceRequests } from "./device-keys.js";
import type { ServiceDraft } from "./service-draft.js";

/** Range of the limit of processes. -1 means unlimited, as in Docker. */
const PIDS_LIMIT = { min: -1, max: 2 ** 31 - 1 };
const COUNT_RANGE = { min: 0, max: 2 ** 31 - 1 };

/** Reads `deploy.resources`: the limits and reservations of each task. */
export const DEPLOY_RESOURCE_KEYS: KeyTable<ServiceDraft> = {
  limits: (cursor, draft) => {
    draft.origins.set("task.limits", cursor);
    applyKeys(cursor, LIMIT_KEYS, draft.limits);
  },
  reservations: (cursor, draft) => {
    draft.origins.set("task.reservations", cursor);
    applyKeys(cursor, RESERVATION_KEYS, draft);
  },
};

const CPU_AND_MEMORY_KEYS: KeyTable<Resources> = {
  cpus: rule(readNanoCpus, (resources, nanoCpus) => {
    resources.nanoCpus = nanoCpus;
  }),
  memory: rule(readBytes, (resources, bytes) => {
    resources.memoryBytes = bytes;
  }),
};

const LIMIT_KEYS: KeyTable<Resources> = { ...CPU_AND_MEMORY_KEYS, pids: pidsRule(PIDS_LIMIT) };

const RESERVED_AMOUNT_KEYS: KeyTable<Resources> = {
  ...CPU_AND_MEMORY_KEYS,
  pids: pidsRule(COUNT_RANGE),
  generic_resources: (cursor, resources) => {
    for (const item of readItems(cursor) ?? []) applyKeys(item, GENERIC_RESOURCE_KEYS, resources);
  },
};

const RESERVATION_KEYS: KeyTable<ServiceDraft> = {
  ...Object.fromEntries(
    Object.entries(RESERVED_AMOUNT_KEYS).map(([key, apply]): [string, KeyRule<ServiceDraft>] => [
      key,
      (cursor, { reservations }) => apply(cursor, reservations),
    ]),
  ),
  devices: (cursor, draft) => readDeviceRequests(cursor, draft, { isGpuRequest: false }),
};

const GENERIC_RESOURCE_KEYS: KeyTable<Resources> = { discrete_resource_spec: addGenericResource };

interface GenericResourceDraft {
  kind: string;
  value: number | undefined;
}

function addGenericResource(cursor: Cursor, { generic }: Resources): void {
  const draft: GenericResourceDraft = { kind: "", value: undefined };
  applyKeys(cursor, DISCRETE_RESOURCE_KEYS, draft);
  if (cursor.diagnostics.hasErrorUnder(cursor.path)) return;
  const { kind, value } = draft;
  if (kind === "" || value === undefined) {
    cursor.diagnostics.error(keyPlace(cursor), "kind and value must be set");
  } else if (Object.hasOwn(generic, kind)) {
    cursor.diagnostics.error(cursor, `${JSON.stringify(kind)} is reserved more than once`);
  } else {
    generic[kind] = value;
  }
}

const DISCRETE_RESOURCE_KEYS: KeyTable<GenericResourceDraft> = {
  kind: rule(readText, (draft, kind) => {
    draft.kind = kind;
  }),
  value: rule(
    (cursor) => readInteger(cursor, COUNT_RANGE),
    (draft, value) => {
      draft.value = value;
    },
  ),
};

function pidsRule(range: typeof COUNT_RANGE): KeyRule<Resources> {
  return rule(
    (cursor) => readInteger(cursor, range),
    (resources, pids) => {
      resources.pids = pids;
    },
  );
}
