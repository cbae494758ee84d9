import { randomBytes } from "node:crypto";
import { applySpecDefaults, type ServiceSpec } from "@berth/proto";
import { applyFlags, type UpdateFlagValues } from "../update/apply-flags.js";
import type { CreateOption } from "./create-flags.js";

/** Number of random bytes in a generated name, so that two services are unlikely to get the same name. */
const NAME_SUFFIX_BYTES = 6;
/** Maximum length of a generated name without its suffix. Leaves room for the suffix and the name of a stack. */
const MAX_NAME_PREFIX_LENGTH = 30;

/** Returns a name for a service of an image, such as "nginx-3f9a1c" for "registry:5000/library/nginx:1.27". */
export function newName(image: string, random: Uint8Array = randomBytes(NAME_SUFFIX_BYTES)): string {
  const [, base = ""] = /([^/:@]*)(?::[^/:@]*)?(?:@.*)?$/.exec(image) ?? [];
  const prefix = base
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, "-")
    .replace(/^-+/, "")
    .slice(0, MAX_NAME_PREFIX_LENGTH);
  return `${prefix || "service"}-${Buffer.from(random).toString("hex")}`;
}

/**
 * Returns the spec of a new service with the options and all defaults applied.
 *
 * @param table the options of the command
 * @throws BerthError BERTH_INPUT_INVALID with all problems
 */
export function withOptions(
  spec: ServiceSpec,
  values: UpdateFlagValues,
  table: readonly CreateOption[],
): ServiceSpec {
  const flags = table
    .map(({ name, flag }) => [attributeOf(flag), values[attributeOf(name)]] as const)
    .filter(([, value]) => value !== undefined);
  return applyFlags(applySpecDefaults(spec), Object.fromEntries(flags), {
    heading: `service ${spec.name} was not created`,
    optionOf: (flag) => table.find((option) => option.flag === flag)?.name ?? flag,
  });
}

/** Returns the property in which commander stores an option: "noHealthcheck" is the value false of "healthcheck". */
function attributeOf(option: string): string {
  return option.replace(/^no-/, "").replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
