import { applySpecDefaults, BerthError, type ServiceSpec, validateServiceSpec } from "@berth/proto";
import { CONTAINER_EDITS } from "./container-edits.js";
import type { Edit } from "./edit.js";
import { FILE_EDITS } from "./file-edits.js";
import { UPDATE_FLAGS, type UpdateFlagName } from "./flags.js";
import { HOST_ACCESS_EDITS } from "./host-access-edits.js";
import { NETWORK_EDITS } from "./network-edits.js";
import { PLACEMENT_EDITS } from "./placement-edits.js";
import { RESOURCE_EDITS } from "./resource-edits.js";
import { ROLLOUT_EDITS } from "./rollout-edits.js";
import { SECURITY_EDITS } from "./security-edits.js";

/** Edits of all flags of `berth service update`. Each edit applies one value of its flag to a spec. */
export const EDITS: Readonly<Record<UpdateFlagName, Edit>> = {
  ...CONTAINER_EDITS,
  ...FILE_EDITS,
  ...HOST_ACCESS_EDITS,
  ...NETWORK_EDITS,
  ...PLACEMENT_EDITS,
  ...RESOURCE_EDITS,
  ...ROLLOUT_EDITS,
  ...SECURITY_EDITS,
};

/** The values of the flags on the command line, by the property names that commander derives from the flags. */
export type UpdateFlagValues = Readonly<Record<string, unknown>>;

/** Wording of errors about the flags of a command. */
export interface FlagContext {
  /** First part of the error message, which says what failed. */
  readonly heading: string;
  /** Returns the command's option for a flag, such as "env" for "env-add". */
  readonly optionOf: (flag: UpdateFlagName) => string;
}

/** One value of a flag. A repeatable flag has several of them. */
interface FlagValue {
  readonly name: UpdateFlagName;
  readonly text: string;
}

const NEGATION_PREFIX = "no-";
const HEALTH_PREFIX = "health-";

/**
 * Returns a copy of the spec with the flags applied, in the order of `UPDATE_FLAGS`.
 *
 * @throws BerthError BERTH_INPUT_INVALID with all problems at once.
 */
export function applyFlags(
  spec: ServiceSpec,
  flags: UpdateFlagValues,
  context: FlagContext = { heading: `service ${spec.name} was not updated`, optionOf: (flag) => flag },
): ServiceSpec {
  const values = flagValues(flags);
  const problems = [...findConflicts(values)];
  let edited = spec;
  for (const { name, text } of values) {
    const result = EDITS[name](edited, text);
    if (result.kind === "invalid") {
      problems.push(`--${context.optionOf(name)}: ${result.reason}`);
    } else {
      edited = result.value;
    }
  }
  const updatedSpec = applySpecDefaults(edited);
  if (problems.length === 0) {
    problems.push(...validateServiceSpec(updatedSpec).map(({ path, message }) => `${path}: ${message}`));
  }
  if (problems.length > 0) throw invalidFlagsError(context.heading, problems);
  return updatedSpec;
}

/** Returns whether the command line has at least one of the flags. */
export function hasFlags(flags: UpdateFlagValues): boolean {
  return flagValues(flags).length > 0;
}

function flagValues(flags: UpdateFlagValues): readonly FlagValue[] {
  return flagNames().flatMap((name) =>
    flagTexts(flags[propertyName(name)], name).map((text) => ({ name, text })),
  );
}

function flagNames(): readonly UpdateFlagName[] {
  return Object.keys(UPDATE_FLAGS).filter((name): name is UpdateFlagName => Object.hasOwn(EDITS, name));
}

/** Returns `envAdd` for `env-add`, and `healthcheck` for `no-healthcheck`, which commander sets to false. */
function propertyName(name: UpdateFlagName): string {
  const positive = name.startsWith(NEGATION_PREFIX) ? name.slice(NEGATION_PREFIX.length) : name;
  return positive.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function flagTexts(value: unknown, name: UpdateFlagName): readonly string[] {
  if (name.startsWith(NEGATION_PREFIX)) return value === false ? ["true"] : [];
  if (typeof value === "boolean") return [String(value)];
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((text) => typeof text === "string") : [];
}

function findConflicts(values: readonly FlagValue[]): readonly string[] {
  const isDisabled = values.some(({ name }) => name === "no-healthcheck");
  const health = values.find(({ name }) => name.startsWith(HEALTH_PREFIX));
  return isDisabled && health !== undefined
    ? [`--no-healthcheck and --${health.name} are mutually exclusive`]
    : [];
}

function invalidFlagsError(heading: string, problems: readonly string[]): BerthError {
  const message =
    problems.length === 1
      ? `${heading}: ${problems[0]}`
      : [`${heading}:`, ...problems.map((text) => `  ${text}`)].join("\n");
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
