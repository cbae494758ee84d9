/** Gives a variable's value; undefined when it is not set. */
export type Lookup = (name: string) => string | undefined;

export type Interpolated =
  | { readonly kind: "text"; readonly text: string; readonly unset: readonly string[] }
  | { readonly kind: "invalid"; readonly message: string };

const NAME_AT = /[_a-zA-Z][_a-zA-Z0-9]*/y;
const OPERATOR = /^(:?)([-+?])(.*)$/s;
/** Nobody nests defaults deeper; it bounds the recursion. */
const MAX_NESTING = 50;

/**
 * Replaces `$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?error}`, `${VAR?error}`, `${VAR:+other}`
 * and `${VAR+other}` as Compose does: defaults may hold variables, `$$` is a dollar sign, and a dollar sign that
 * starts nothing stays what it is. `unset` names the variables that were taken as empty.
 */
export function interpolate(template: string, lookup: Lookup): Interpolated {
  const unset = new Set<string>();
  try {
    const text = new Template(lookup, unset).fill(template, 0);
    return { kind: "text", text, unset: [...unset] };
  } catch (error) {
    if (error instanceof TemplateError) return { kind: "invalid", message: error.message };
    throw error;
  }
}

class TemplateError extends Error {}

class Template {
  readonly #lookup: Lookup;
  readonly #unset: Set<string>;

  constructor(lookup: Lookup, unset: Set<string>) {
    this.#lookup = lookup;
    this.#unset = unset;
  }

  fill(template: string, nesting: number): string {
    if (nesting > MAX_NESTING) throw new TemplateError("variables are nested too deeply");
    let filled = "";
    let from = 0;
    for (let dollar = template.indexOf("$"); dollar >= 0; dollar = template.indexOf("$", from)) {
      filled += template.slice(from, dollar);
      const [value, end] = this.#variable(template, dollar, nesting);
      filled += value;
      from = end;
    }
    return filled + template.slice(from);
  }

  /** The text for what starts with the dollar sign, and the offset after it. */
  #variable(template: string, dollar: number, nesting: number): readonly [string, number] {
    const next = template[dollar + 1];
    if (next === "$") return ["$", dollar + 2];
    if (next === "{") {
      const close = closingBrace(template, dollar + 1);
      if (close === undefined) throw invalidFormat(template.slice(dollar));
      return [this.#braced(template.slice(dollar + 2, close), nesting), close + 1];
    }
    NAME_AT.lastIndex = dollar + 1;
    const name = NAME_AT.exec(template)?.[0];
    return name === undefined ? ["$", dollar + 1] : [this.#value(name), dollar + 1 + name.length];
  }

  #braced(content: string, nesting: number): string {
    NAME_AT.lastIndex = 0;
    const name = NAME_AT.exec(content)?.[0];
    if (name === undefined) throw invalidFormat(`\${${content}}`);
    const rest = content.slice(name.length);
    if (rest === "") return this.#value(name);
    const [, colon, operator, operand = ""] = OPERATOR.exec(rest) ?? [];
    if (operator === undefined) throw invalidFormat(`\${${content}}`);
    const value = this.#lookup(name);
    const present = value !== undefined && (colon === "" || value !== "");
    if (operator === "+") return present ? this.fill(operand, nesting + 1) : "";
    if (present) return value;
    const filled = this.fill(operand, nesting + 1);
    if (operator === "-") return filled;
    throw new TemplateError(`the required variable ${name} is not set${filled === "" ? "" : `: ${filled}`}`);
  }

  #value(name: string): string {
    const value = this.#lookup(name);
    if (value === undefined) this.#unset.add(name);
    return value ?? "";
  }
}

/** The brace that closes the one at `open`; braces inside come in pairs. */
function closingBrace(text: string, open: number): number | undefined {
  let depth = 0;
  for (let at = open; at < text.length; at += 1) {
    if (text[at] === "{") depth += 1;
    else if (text[at] === "}") {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return undefined;
}

function invalidFormat(what: string): TemplateError {
  const shown = what.length > 40 ? `${what.slice(0, 40)}…` : what;
  return new TemplateError(
    `${JSON.stringify(shown)} is no variable: write $$ for a dollar sign that stays one`,
  );
}
