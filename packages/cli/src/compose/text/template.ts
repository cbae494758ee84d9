/** Returns the value of a variable, or undefined if it is not set. */
export type Lookup = (name: string) => string | undefined;

/** A variable in a template. */
export interface VariableUse {
  readonly name: string;
  /** Whether a missing value is an error. */
  readonly isRequired: boolean;
  /** The text that replaces a missing value, before its variables are replaced. */
  readonly defaultText: string;
  /** The text that replaces any value, before its variables are replaced. */
  readonly alternativeText: string;
}

export type InterpolationResult =
  | { readonly kind: "text"; readonly text: string; readonly unset: readonly string[] }
  | { readonly kind: "invalid"; readonly message: string };

const NAME_AT = /[_a-zA-Z][_a-zA-Z0-9]*/y;
const OPERATOR = /^(:?)([-+?])(.*)$/s;
/**
 * Maximum length of a value with its variables. Variables of an env file can contain others, so each line can double
 * the length. Linux permits 128 KiB for an environment variable.
 */
const MAX_LENGTH = 1024 * 1024;
/** Maximum total length of all values of a file with their variables. */
export const MAX_EXPANDED_LENGTH = 16 * 1024 * 1024;
/** Maximum nesting depth of defaults, to bound the recursion. */
const MAX_NESTING = 50;

/**
 * Replaces `$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?error}`, `${VAR?error}`, `${VAR:+other}`
 * and `${VAR+other}` as Compose does. Defaults can contain variables. `$$` is a dollar sign. A dollar sign without a
 * variable after it is kept. `unset` lists the variables that were replaced by an empty string. `onUse` is called for
 * each variable.
 */
export function interpolate(
  template: string,
  lookup: Lookup,
  onUse: (use: VariableUse) => void = () => {},
): InterpolationResult {
  const unset = new Set<string>();
  try {
    const text = new Interpolator({ lookup, unset, onUse }).interpolate(template, 0);
    return { kind: "text", text, unset: [...unset] };
  } catch (error) {
    if (error instanceof TemplateError) return { kind: "invalid", message: error.message };
    throw error;
  }
}

/** An invalid variable in a template. `interpolate` converts it to a result. */
class TemplateError extends Error {}

interface InterpolatorOptions {
  readonly lookup: Lookup;
  /** Receives the names of the variables that are not set. */
  readonly unset: Set<string>;
  readonly onUse: (use: VariableUse) => void;
}

/** Interpolates templates with one set of variables, and collects the names of unset ones. */
class Interpolator {
  readonly #lookup: Lookup;
  readonly #unset: Set<string>;
  readonly #onUse: (use: VariableUse) => void;

  constructor({ lookup, unset, onUse }: InterpolatorOptions) {
    this.#lookup = lookup;
    this.#unset = unset;
    this.#onUse = onUse;
  }

  interpolate(template: string, nesting: number): string {
    if (nesting > MAX_NESTING) throw new TemplateError("variables are nested too deeply");
    let result = "";
    let offset = 0;
    for (let dollar = template.indexOf("$"); dollar >= 0; dollar = template.indexOf("$", offset)) {
      result += template.slice(offset, dollar);
      const [value, end] = this.#replaceVariable(template, dollar, nesting);
      result += value;
      if (result.length > MAX_LENGTH) {
        throw new TemplateError(`the value is longer than ${MAX_LENGTH} characters with its variables`);
      }
      offset = end;
    }
    return result + template.slice(offset);
  }

  /** Returns the value of the variable that starts at the dollar sign, and the offset after it. */
  #replaceVariable(template: string, dollar: number, nesting: number): readonly [string, number] {
    const next = template[dollar + 1];
    if (next === "$") return ["$", dollar + 2];
    if (next === "{") {
      const close = closingBrace(template, dollar + 1);
      if (close === undefined) throw invalidVariableError(template.slice(dollar));
      return [this.#replaceBraced(template.slice(dollar + 2, close), nesting), close + 1];
    }
    NAME_AT.lastIndex = dollar + 1;
    const name = NAME_AT.exec(template)?.[0];
    return name === undefined ? ["$", dollar + 1] : [this.#valueOf(name), dollar + 1 + name.length];
  }

  #replaceBraced(content: string, nesting: number): string {
    NAME_AT.lastIndex = 0;
    const name = NAME_AT.exec(content)?.[0];
    if (name === undefined) throw invalidVariableError(`\${${content}}`);
    const operatorText = content.slice(name.length);
    if (operatorText === "") return this.#valueOf(name);
    const [, colon, operator, operand = ""] = OPERATOR.exec(operatorText) ?? [];
    if (operator === undefined) throw invalidVariableError(`\${${content}}`);
    this.#onUse({
      name,
      isRequired: operator === "?",
      defaultText: operator === "-" ? operand : "",
      alternativeText: operator === "+" ? operand : "",
    });
    const value = this.#lookup(name);
    const isPresent = value !== undefined && (colon === "" || value !== "");
    if (operator === "+") return isPresent ? this.interpolate(operand, nesting + 1) : "";
    if (isPresent) return value;
    const alternative = this.interpolate(operand, nesting + 1);
    if (operator === "-") return alternative;
    throw new TemplateError(
      `required variable ${name} is not set${alternative === "" ? "" : `: ${alternative}`}`,
    );
  }

  #valueOf(name: string): string {
    this.#onUse({ name, isRequired: false, defaultText: "", alternativeText: "" });
    const value = this.#lookup(name);
    if (value === undefined) this.#unset.add(name);
    return value ?? "";
  }
}

/** Returns the offset of the brace that closes the one at `open`. */
function closingBrace(text: string, open: number): number | undefined {
  let depth = 0;
  for (let index = open; index < text.length; index += 1) {
    if (text[index] === "{") {
      depth += 1;
    } else if (text[index] === "}") {
      depth -= 1;
      if (depth === 0) return index;
    }
  }
  return undefined;
}

function invalidVariableError(text: string): TemplateError {
  const clipped = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  return new TemplateError(
    `${JSON.stringify(clipped)} is not a valid variable; use $$ for a literal dollar sign`,
  );
}
