import { type FieldChange, ServiceSpec } from "@berth/proto";
import { describeFile, fileMounts, withFileVersions } from "../../core/files/file-mounts.js";
import { canonicalText } from "../../core/model/canonical.js";

/** Maximum number of listed changes. Further changes are only counted. */
const MAX_CHANGES = 100;

/** Maximum length of a value in a change. */
const MAX_TEXT_LENGTH = 200;

/** Fields that identify an item of a list, in order of preference. */
const ITEM_KEYS = ["target", "env", "name", "service", "hostPath"];

/**
 * Returns every field in which two specs differ, sorted by path. Paths are written as in the .proto files. A secret or
 * config has the path `secret NAME`, and the number of its version instead of the ID.
 *
 * @param fileVersion returns the number of a version of a secret or config; undefined if it is gone
 */
export function diffSpecs(
  before: ServiceSpec | undefined,
  after: ServiceSpec,
  fileVersion: (fileId: string) => number | undefined,
): readonly FieldChange[] {
  const beforeLeaves = flattenSpec(before, fileVersion);
  const afterLeaves = flattenSpec(after, fileVersion);
  const paths = [...new Set([...beforeLeaves.keys(), ...afterLeaves.keys()])].sort();
  const changes = paths
    .map((path) => ({ path, before: beforeLeaves.get(path) ?? "", after: afterLeaves.get(path) ?? "" }))
    .filter((change) => change.before !== change.after);
  if (changes.length <= MAX_CHANGES) return changes.map(shortenTexts);
  const omittedText = `${changes.length - MAX_CHANGES} more`;
  return [...changes.slice(0, MAX_CHANGES).map(shortenTexts), { path: "…", before: "", after: omittedText }];
}

/** Returns the leaf values of a spec by path. */
function flattenSpec(
  spec: ServiceSpec | undefined,
  fileVersion: (fileId: string) => number | undefined,
): ReadonlyMap<string, string> {
  const leaves = new Map<string, string>();
  if (spec === undefined) return leaves;
  // An empty version ID is not part of the JSON.
  collectLeaves(ServiceSpec.toJSON(withFileVersions(spec, () => "")), "", leaves);
  for (const file of fileMounts(spec)) {
    leaves.set(describeFile(file), `version ${fileVersion(file.versionId) ?? "unknown"}`);
  }
  return leaves;
}

function collectLeaves(value: unknown, path: string, leaves: Map<string, string>): void {
  if (Array.isArray(value)) {
    value.forEach((item, index) => {
      const { key, rest } = keyedItem(item, index);
      collectLeaves(rest, `${path}[${key}]`, leaves);
    });
  } else if (typeof value === "object" && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      collectLeaves(inner, path === "" ? toProtoName(key) : `${path}.${toProtoName(key)}`, leaves);
    }
  } else if (value !== undefined) {
    leaves.set(path, typeof value === "string" ? value : canonicalText(value));
  }
}

/** Splits a list item into a key and the rest. With keys, an inserted item does not shift all later items. */
function keyedItem(item: unknown, index: number): { readonly key: string; readonly rest: unknown } {
  if (typeof item === "string") {
    const equals = item.indexOf("=");
    const isPair = equals > 0 && !/\s/.test(item.slice(0, equals));
    return isPair ? { key: item.slice(0, equals), rest: item.slice(equals + 1) } : { key: item, rest: item };
  }
  if (typeof item !== "object" || item === null) return { key: String(index), rest: item };
  const fields = new Map(Object.entries(item));
  const name = ITEM_KEYS.map((key) => fields.get(key)).find((text) => text !== undefined);
  return { key: name === undefined ? String(index) : String(name), rest: item };
}

function toProtoName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function shortenTexts(change: FieldChange): FieldChange {
  const short = (text: string): string =>
    text.length <= MAX_TEXT_LENGTH ? text : `${text.slice(0, MAX_TEXT_LENGTH)}…`;
  return { path: change.path, before: short(change.before), after: short(change.after) };
}
