/** The result of parsing text: a value, or the reason why the text is invalid. */
export type Parsed<T> = { readonly kind: "value"; readonly value: T } | InvalidText;

export interface InvalidText {
  readonly kind: "invalid";
  readonly reason: string;
}

export function valid<T>(value: T): Parsed<T> {
  return { kind: "value", value };
}

export function invalid(reason: string): InvalidText {
  return { kind: "invalid", reason };
}
