import { didYouMean } from "../../../compose/text/suggest.js";
import type { Parsed } from "../../../compose/text/units.js";
import { invalid, value } from "./flag-values.js";

/** `type=bind,source=/a,readonly`: what each key says, the last one wins; a key alone says "true". */
export function parseFields<Key extends string>(
  text: string,
  keys: readonly Key[],
): Parsed<{ readonly [K in Key]?: string }> {
  const fields: { [K in Key]?: string } = {};
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const name = (equals < 0 ? part : part.slice(0, equals)).trim().toLowerCase();
    const key = keys.find((known) => known === name);
    if (key === undefined) {
      return invalid(`${JSON.stringify(name)} is none of ${keys.join(", ")}${didYouMean(name, keys)}`);
    }
    fields[key] = equals < 0 ? "true" : part.slice(equals + 1);
  }
  return value(fields);
}
