import { readTextMap } from "../tree/cursor.js";
import { type KeyTable, rule } from "../tree/key-table.js";
import type { ServiceDraft } from "./service-draft.js";

/** Reads the labels and annotations of a service's containers. */
export const METADATA_KEYS: KeyTable<ServiceDraft> = {
  labels: rule(readTextMap, (draft, labels) => {
    draft.container.labels = labels;
  }),
  annotations: rule(readTextMap, (draft, annotations) => {
    draft.container.annotations = annotations;
  }),
};
