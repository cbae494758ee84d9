import { applySpecDefaults, BerthError, type ServiceSpec, validateServiceSpec } from "@berth/proto";
import { EDITS } from "./edits.js";
import { UPDATE_FLAGS, type UpdateFlagName } from "./flags.js";

/** What was given of the flags, by the names that the command line's parser makes of them. */
export type GivenFlags = Readonly<Record<string, unknown>>;

interface Given {
  readonly name: UpdateFlagName;
  readonly text: string;
}

const NEGATION = "no-";
const HEALTH = "health-";

/**
 * A spec with what the flags say, in the order of the table.
 * @throws BerthError BERTH_INPUT_INVALID with everything that is wrong.
 */
export function applyFlags(spec: ServiceSpec, flags: GivenFlags): ServiceSpec {
  const given = givenFlags(flags);
  const problems = [...contradictions(given)];
  let edited = spec;
  for (const { name, text } of given) {
    const result = EDITS[name](edited, text);
    if (result.kind === "invalid") problems.push(`--${name}: ${result.reason}`);
    else edited = result.value;
  }
  const whole = applySpecDefaults(edited);
  if (problems.length === 0) {
    problems.push(...validateServiceSpec(whole).map(({ path, message }) => `${path}: ${message}`));
  }
  if (problems.length > 0) throw notUpdated(spec.name, problems);
  return whole;
}

export function hasFlags(flags: GivenFlags): boolean {
  return givenFlags(flags).length > 0;
}

function givenFlags(flags: GivenFlags): readonly Given[] {
  return flagNames().flatMap((name) =>
    textsOf(flags[attributeOf(name)], name).map((text) => ({ name, text })),
  );
}

function flagNames(): readonly UpdateFlagName[] {
  return Object.keys(UPDATE_FLAGS).filter((name): name is UpdateFlagName => Object.hasOwn(EDITS, name));
}

/** `env-add` → `envAdd`, and `no-healthcheck` → `healthcheck`, which is false when it is given. */
function attributeOf(name: UpdateFlagName): string {
  const positive = name.startsWith(NEGATION) ? name.slice(NEGATION.length) : name;
  return positive.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function textsOf(given: unknown, name: UpdateFlagName): readonly string[] {
  if (name.startsWith(NEGATION)) return given === false ? ["true"] : [];
  if (typeof given === "boolean") return [String(given)];
  if (typeof given === "string") return [given];
  return Array.isArray(given) ? given.filter((text) => typeof text === "string") : [];
}

function contradictions(given: readonly Given[]): readonly string[] {
  const isOff = given.some(({ name }) => name === "no-healthcheck");
  const health = given.find(({ name }) => name.startsWith(HEALTH));
  return isOff && health !== undefined ? [`--no-healthcheck and --${health.name} exclude each other`] : [];
}

function notUpdated(name: string, problems: readonly string[]): BerthError {
  const intro = `service ${name} was not updated`;
  const message =
    problems.length === 1
      ? `${intro}: ${problems[0]}`
      : [`${intro}:`, ...problems.map((text) => `  ${text}`)].join("\n");
  return new BerthError({ code: "BERTH_INPUT_INVALID", message });
}
