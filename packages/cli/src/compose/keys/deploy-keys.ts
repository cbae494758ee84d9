import { EndpointMode } from "@berth/proto";
import { readChoice, readTextMap } from "../tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../tree/key-table.js";
import { rejectBerthKeys } from "./berth-keys.js";
import { readMode, readReplicas } from "./mode-keys.js";
import { PLACEMENT_KEYS } from "./placement-keys.js";
import { DEPLOY_RESOURCE_KEYS } from "./reservation-keys.js";
import { readRestart, readRestartPolicy } from "./restart-keys.js";
import { readRollbackConfig, readUpdateConfig } from "./rollout-keys.js";
import type { ServiceDraft } from "./service-draft.js";

const ENDPOINT_MODES = { vip: EndpointMode.VIP, dnsrr: EndpointMode.DNSRR };

/** Reads `deploy` and the older keys for its settings. The order matters: `deploy` overrides the older keys. */
export const DEPLOY_KEYS: KeyTable<ServiceDraft> = {
  restart: readRestart,
  scale: readReplicas,
  deploy: (cursor, draft) => {
    rejectBerthKeys(cursor);
    applyKeys(cursor, DEPLOY_FIELDS, draft);
  },
};

const DEPLOY_FIELDS: KeyTable<ServiceDraft> = {
  replicas: readReplicas,
  mode: readMode,
  labels: rule(readTextMap, (draft, labels) => {
    draft.spec.labels = labels;
  }),
  placement: (cursor, draft) => applyKeys(cursor, PLACEMENT_KEYS, draft),
  resources: (cursor, draft) => applyKeys(cursor, DEPLOY_RESOURCE_KEYS, draft),
  restart_policy: readRestartPolicy,
  update_config: readUpdateConfig,
  rollback_config: readRollbackConfig,
  endpoint_mode: rule(
    (cursor) => readChoice(cursor, ENDPOINT_MODES),
    ({ spec }, mode) => {
      spec.endpointMode = mode;
    },
  ),
};
