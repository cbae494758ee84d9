import { type Edit, edit, inContainer } from "../edit.js";
import { fullKeyValue, keyValue, nonEmptyText, replaced, without, withoutKey } from "../flag-values.js";

const hasName =
  (name: string) =>
  (entry: string): boolean =>
    entry.startsWith(`${name}=`);

/** Environment variables, and labels of the service and of its containers. */
export const LABEL_EDITS = {
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
