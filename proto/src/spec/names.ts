/** Service names are DNS labels, which have at most 63 characters, and part of container names. */
export const MAX_NAME_LENGTH = 63;

const STACK_NAME = /^[a-z0-9][a-z0-9_-]*$/;
const SERVICE_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** Docker's rule for volume names. */
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const MAX_VOLUME_NAME_LENGTH = 255;

/** Returns why a stack name is invalid; undefined when it is valid. */
export function stackNameProblem(name: string): string | undefined {
  return nameProblem("stack name", name, {
    pattern: STACK_NAME,
    wanted: "lower-case letters, digits, - and _, starting with a letter or digit",
    maxLength: MAX_NAME_LENGTH,
  });
}

/** Returns why a service name, with or without its stack prefix, is invalid; undefined when it is valid. */
export function serviceNameProblem(name: string): string | undefined {
  return nameProblem("service name", name, {
    pattern: SERVICE_NAME,
    wanted: "ASCII letters, digits, -, _ and ., starting with a letter or digit",
    maxLength: MAX_NAME_LENGTH,
  });
}

/** Returns why a network name, with or without its stack prefix, is invalid; undefined when it is valid. */
export function networkNameProblem(name: string): string | undefined {
  return nameProblem("network name", name, {
    pattern: SERVICE_NAME,
    wanted: "ASCII letters, digits, -, _ and ., starting with a letter or digit",
    maxLength: 2 * MAX_NAME_LENGTH,
  });
}

/** Returns why a volume name is invalid; undefined when it is valid. */
export function volumeNameProblem(name: string): string | undefined {
  return nameProblem("volume name", name, {
    pattern: VOLUME_NAME,
    wanted: "at least two ASCII letters, digits, -, _ and ., starting with a letter or digit",
    maxLength: MAX_VOLUME_NAME_LENGTH,
  });
}

/** Returns the cluster-wide name of a stack's service, network or volume. */
export function scopedName(stack: string, name: string): string {
  return stack === "" ? name : `${stack}_${name}`;
}

interface NameRule {
  readonly pattern: RegExp;
  readonly wanted: string;
  readonly maxLength: number;
}

function nameProblem(what: string, name: string, rule: NameRule): string | undefined {
  if (name === "") return `the ${what} is empty`;
  if (name.length > rule.maxLength) {
    return `${what} "${name.slice(0, 20)}…" has ${name.length} characters, at most ${rule.maxLength} are possible`;
  }
  if (!rule.pattern.test(name)) return `${what} ${JSON.stringify(name)} is not possible: use ${rule.wanted}`;
  return undefined;
}
