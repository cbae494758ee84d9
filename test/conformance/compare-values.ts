import { isDeepStrictEqual } from "node:util";

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** Matches keys for which null means the default, as if the key were absent. */
const NULL_IS_ABSENT = /\.(?:command|entrypoint)$/;
/** Matches mappings whose keys users choose, so that their empty values are significant. */
const USER_CHOSEN_KEYS =
  /(?:^|\.)(?:environment|labels|annotations|args|sysctls|options|driver_opts|aux_addresses|networks|storage_opt)$/;

/**
 * Returns the first path at which two projects differ, or undefined if they are equal. Treats empty mappings, empty
 * lists, false, null and empty text as absent, except where users choose the keys. Ignores extension fields, because
 * Compose prints some and drops others.
 */
export function firstDifference(expected: unknown, actual: unknown): string | undefined {
  return compare(normalize(toJson(expected), ""), normalize(toJson(actual), ""), "");
}

function toJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value ?? null)) as Json;
}

function normalize(value: Json, path: string): Json | undefined {
  if (Array.isArray(value)) return value.map((item) => normalize(item, path) ?? null);
  if (typeof value !== "object" || value === null) return value;
  const isUserChosen = USER_CHOSEN_KEYS.test(path);
  const entries = Object.entries(value).flatMap(([key, child]) => {
    const childPath = `${path}.${key.replaceAll(".", "")}`;
    if (key.startsWith("x-") && !isUserChosen) return [];
    const normal = normalize(child, childPath);
    if (normal === null && NULL_IS_ABSENT.test(childPath)) return [];
    const isKept = isUserChosen || NULL_IS_ABSENT.test(childPath) || !isEmpty(normal);
    return isKept ? [[key, normal] as const] : [];
  });
  return Object.fromEntries(entries) as Json;
}

function isEmpty(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === false || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function compare(expected: unknown, actual: unknown, path: string): string | undefined {
  if (isDeepStrictEqual(expected, actual)) return undefined;
  if (isRecord(expected) && isRecord(actual)) {
    for (const key of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
      const difference = compare(expected[key], actual[key], path === "" ? key : `${path}.${key}`);
      if (difference !== undefined) return difference;
    }
  }
  return `${path}: Compose ${clip(expected)}, berth ${clip(actual)}`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function clip(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
