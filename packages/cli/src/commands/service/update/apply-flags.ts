import { applySpecDefaults, BerthError, type ServiceSpec, validateServiceSpec } from "@berth/proto";
import { CONTAINER_EDITS } from "./container-edits.js";
import type { Edit } from "./edit.js";
import { UPDATE_FLAGS, type UpdateFlagName } from "./flags.js";
import { NETWORK_EDITS } from "./network-edits.js";
import { PLACEMENT_EDITS } from "./placement-edits.js";
import { RESOURCE_EDITS } from "./resource-edits.js";
import { ROLLOUT_EDITS } from "./rollout-edits.js";
import { SECURITY_EDITS } from "./security-edits.js";

/** The effect of each flag of `berth service update` on a spec. */
export const EDITS: Readonly<Record<UpdateFlagName, Edit>> = {
  ...CONTAINER_EDITS,
  ...NETWORK_EDITS,
  ...PLACEMENT_EDITS,
  ...RESOURCE_EDITS,
  ...ROLLOUT_EDITS,
  ...SECURITY_EDITS,
};

/** The values of the flags that were given, by the property names that commander makes of the flags. */
export type UpdateFlagValues = Readonly<Record<string, unknown>>;

interface FlagValue {
  readonly name: UpdateFlagName;
  readonly text: string;
}

const NEGATION = "no-";
const HEALTH = "health-";

/**
 * Returns a copy of the spec with the flags applied, in the order of `UPDATE_FLAGS`.
 * @throws BerthError BERTH_INPUT_INVALID with all problems at once.
 */
export function applyFlags(spec: ServiceSpec, flags: UpdateFlagValues): ServiceSpec {
  const given = flagValues(flags);
  const problems = [...conflicts(given)];
  let edited = spec;
  for (const { name, text } of given) {
    const result = EDITS[name](edited, text);
    if (result.kind === "invalid") problems.push(`--${name}: ${result.reason}`);
    else edited = result.value;
  }
  const complete = applySpecDefaults(edited);
  if (problems.length === 0) {
    problems.push(...validateServiceSpec(complete).map(({ path, message }) => `${path}: ${message}`));
  }
  if (problems.length > 0) throw notUpdatedError(spec.name, problems);
  return complete;
}

export function hasFlags(flags: UpdateFlagValues): boolean {
  return flagValues(flags).length > 0;
}

function flagValues(flags: UpdateFlagValues): readonly FlagValue[] {
  return flagNames().flatMap((name) =>
    valuesOf(flags[propertyName(name)], name).map((text) => ({ name, text })),
  );
}

function flagNames(): readonly UpdateFlagName[] {
  return Object.keys(UPDATE_FLAGS).filter((name): name is UpdateFlagName => Object.hasOwn(EDITS, name));
}

/** Returns `envAdd` for `env-add`, and `healthcheck` for `no-healthcheck`, which commander sets to false. */
function propertyName(name: UpdateFlagName): string {
  const positive = name.startsWith(NEGATION) ? name.slice(NEGATION.length) : name;
  return positive.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function valuesOf(given: unknown, name: UpdateFlagName): readonly string[] {
  if (name.startsWith(NEGATION)) return given === false ? ["true"] : [];
  if (typeof given === "boolean") return [String(given)];
  if (typeof given === "string") return [given];
  return Array.isArray(given) ? given.filter((text) => typeof text === "string") : [];
}

function conflicts(given: readonly FlagValue[]): readonly string[] {
  const isDisabled = given.some(({ name }) => name === "no-healthcheck");
  const health = given.find(({ name }) => name.startsWith(HEALTH));
  return isDisabled && health !== undefined
    ? [`--no-healthcheck and --${health.name} are mutually exclusive`]
    : [];
}

function notUpdatedError(name: string, problems: readonly string[]): BerthError {
  const intro = `service ${name} was not updated`;
  const message =
    problems.length === 1
      ? `${intro}: ${problems[0]}`
      : [`${intro}:`, ...problems.map((text) => `  ${text}`)].join("\n");
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
