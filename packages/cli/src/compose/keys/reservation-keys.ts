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
import { applyKeys } from "../tree/key-table.js";
import { rejectKey } from "./not-supported.js";
import { type KeyRule, type KeyTable, rule, type ServiceDraft } from "./service-draft.js";

/** -1 is "unlimited", as Docker has it. */
const PIDS_LIMIT = { min: -1, max: 2 ** 31 - 1 };
const COUNT = { min: 0, max: 2 ** 31 - 1 };

/** `deploy.resources` */
export const DEPLOY_RESOURCE_KEYS: KeyTable<ServiceDraft> = {
  limits: (cursor, draft) => {
    draft.origins.set("task.limits", cursor);
    applyKeys(cursor, LIMIT_KEYS, draft.limits);
  },
  reservations: (cursor, draft) => {
    draft.origins.set("task.reservations", cursor);
    applyKeys(cursor, RESERVATION_KEYS, draft.reservations);
  },
};

const CPU_AND_MEMORY_KEYS: KeyTable<Resources> = {
  cpus: rule(readNanoCpus, (resources, nano) => {
    resources.nanoCpus = nano;
  }),
  memory: rule(readBytes, (resources, bytes) => {
    resources.memoryBytes = bytes;
  }),
};

const LIMIT_KEYS: KeyTable<Resources> = { ...CPU_AND_MEMORY_KEYS, pids: readPids(PIDS_LIMIT) };

const RESERVATION_KEYS: KeyTable<Resources> = {
  ...CPU_AND_MEMORY_KEYS,
  pids: readPids(COUNT),
  generic_resources: (cursor, resources) => {
    for (const item of readItems(cursor) ?? []) applyKeys(item, GENERIC_RESOURCE_KEYS, resources);
  },
  devices: rejectKey(
    "reserving devices such as GPUs. Count them as generic_resources, and hand them on with devices:",
  ),
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
    cursor.diagnostics.error(keyPlace(cursor), "a resource needs a kind and a value");
  } else if (Object.hasOwn(generic, kind)) {
    cursor.diagnostics.error(cursor, `${JSON.stringify(kind)} is reserved twice`);
  } else {
    generic[kind] = value;
  }
}

const DISCRETE_RESOURCE_KEYS: KeyTable<GenericResourceDraft> = {
  kind: rule(readText, (draft, kind) => {
    draft.kind = kind;
  }),
  value: rule(
    (cursor) => readInteger(cursor, COUNT),
    (draft, value) => {
      draft.value = value;
    },
  ),
};

function readPids(range: typeof COUNT): KeyRule<Resources> {
  return rule(
    (cursor) => readInteger(cursor, range),
    (resources, pids) => {
      resources.pids = pids;
    },
  );
}
