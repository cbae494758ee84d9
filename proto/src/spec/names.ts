/**
 * Maximum length of a name. Service names are DNS labels, which have at most 63 characters, and part of container
 * names.
 */
export const MAX_NAME_LENGTH = 63;

const STACK_NAME = /^[a-z0-9][a-z0-9_-]*$/;
const SERVICE_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** Pattern of a volume name, as in Docker. */
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const MAX_VOLUME_NAME_LENGTH = 255;

/** Returns why a stack name is invalid, or undefined if it is valid. */
export function stackNameProblem(name: string): string | undefined {
  return nameProblem("stack name", name, {
    pattern: STACK_NAME,
    allowed: "lower-case letters, digits, - and _, starting with a letter or digit",
    maxLength: MAX_NAME_LENGTH,
  });
}

/** Returns why a service name, with or without its stack prefix, is invalid, or undefined if it is valid. */
export function serviceNameProblem(name: string): string | undefined {
  return nameProblem("service name", name, {
    pattern: SERVICE_NAME,
    allowed: "ASCII letters, digits, -, _ and ., starting with a letter or digit",
    maxLength: MAX_NAME_LENGTH,
  });
}

/** Returns why a network name, with or without its stack prefix, is invalid, or undefined if it is valid. */
export function networkNameProblem(name: string): string | undefined {
  return nameProblem("network name", name, {
    pattern: SERVICE_NAME,
    allowed: "ASCII letters, digits, -, _ and ., starting with a letter or digit",
    maxLength: 2 * MAX_NAME_LENGTH,
  });
}

/**
 * Returns why the name of a secret or config, with or without its stack prefix, is invalid, or undefined if it is
 * valid.
 */
export function fileNameProblem(kind: "secret" | "config", name: string): string | undefined {
  return nameProblem(`${kind} name`, name, {
    pattern: SERVICE_NAME,
    allowed: "ASCII letters, digits, -, _ and ., starting with a letter or digit",
    maxLength: 2 * MAX_NAME_LENGTH,
  });
}

/** Returns why a volume name is invalid, or undefined if it is valid. */
export function volumeNameProblem(name: string): string | undefined {
  return nameProblem("volume name", name, {
    pattern: VOLUME_NAME,
    allowed: "at least two ASCII letters, digits, -, _ and ., starting with a letter or digit",
    maxLength: MAX_VOLUME_NAME_LENGTH,
  });
}

/** Returns the cluster-wide name of a stack's service, network, volume, secret or config. */
export function scopedName(stack: string, name: string): string {
  return stack === "" ? name : `${stack}_${name}`;
}

/** Returns the name without the stack prefix that `scopedName` adds. */
export function unscopedName(stack: string, name: string): string {
  return name.slice(scopedName(stack, "").length);
}

interface NameRule {
  readonly pattern: RegExp;
  /** Describes the names that the pattern accepts. */
  readonly allowed: string;
  readonly maxLength: number;
}

function nameProblem(
  kind: string,
  name: string,
  { pattern, allowed, maxLength }: NameRule,
): string | undefined {
  if (name === "") return `the ${kind} is empty`;
  if (name.length > maxLength) {
    return `invalid ${kind} "${name.slice(0, 20)}…": ${name.length} characters is too long (maximum ${maxLength})`;
  }
  return pattern.test(name) ? undefined : `invalid ${kind} ${JSON.stringify(name)}; use ${allowed}`;
}
