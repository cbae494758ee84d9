import type { Rng } from "../../sim/simulator/rng.js";

type JsonObject = { [key: string]: Json };
type Json = null | boolean | number | string | Json[] | JsonObject;

/** Values of each type, including some that a parser may confuse with missing values. */
const VALUES: readonly string[] = [
  ..."null true false 0 -1 0.5 1e308 1e999 9007199254740993 [] {} [null] [[]] [{}]".split(" "),
  '""',
  '"a"',
  '"\\u0000"',
  '"__proto__"',
  '{"__proto__":null}',
];
const KEYS = ["__proto__", "constructor", "toString", "length", ""];

/** Changes one value or key in a JSON text. Returns undefined if the text is not JSON. */
export function mutateJson(text: string, rng: Rng): string | undefined {
  const root = parse(text);
  if (root === undefined) return undefined;
  const places = placesIn(root);
  if (places.length === 0 || rng.int(0, places.length) === 0) return rng.pick(VALUES);
  const { parent, key } = rng.pick(places);
  const other = rng.pick(places);
  switch (rng.int(0, 4)) {
    case 0:
      set(parent, key, parse(rng.pick(VALUES)) ?? null);
      break;
    case 1:
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete parent[key];
      break;
    case 2:
      if (Array.isArray(parent)) parent.push(structuredClone(parent[Number(key)] ?? null));
      else set(parent, rng.pick(KEYS), structuredClone(parent[key] ?? null));
      break;
    case 3:
      set(parent, key, structuredClone(get(other.parent, other.key)));
      break;
    default:
      // Quote a number or boolean: `80` becomes `"80"`.
      set(parent, key, JSON.stringify(get(parent, key)));
  }
  return JSON.stringify(root);
}

interface Place {
  readonly parent: Json[] | JsonObject;
  readonly key: string;
}

function placesIn(value: Json, places: Place[] = []): readonly Place[] {
  if (typeof value !== "object" || value === null) return places;
  for (const key of Object.keys(value)) {
    places.push({ parent: value, key });
    placesIn(get(value, key), places);
  }
  return places;
}

function get(parent: Json[] | JsonObject, key: string): Json {
  return (Array.isArray(parent) ? parent[Number(key)] : parent[key]) ?? null;
}

function set(parent: Json[] | JsonObject, key: string, value: Json): void {
  // An assignment to `__proto__` would set the prototype.
  Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true });
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
