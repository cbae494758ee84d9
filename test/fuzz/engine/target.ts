/** A parser, or several parsers of the same input, to fuzz. */
export interface Target {
  readonly name: string;
  /** Valid inputs. Mutations start with these and the corpus. */
  readonly seeds: readonly (string | Uint8Array)[];
  /** Texts that the parser treats specially, in addition to the words in text seeds. */
  readonly tokens?: readonly string[];
  /** `json` mostly mutates values and keys, so that most inputs stay valid JSON. Default: `bytes`. */
  readonly format?: "bytes" | "json";
  /** Maximum input size. Large inputs reveal non-linear work. */
  readonly maxBytes?: number;
  /**
   * Parses the input and checks the result: bounds, and a round trip if there is an encoder. Throws only if there is a
   * bug. `unlessRejected` catches the errors with which a parser rejects invalid input.
   */
  readonly run: (input: Buffer) => void | Promise<void>;
}

export const DEFAULT_MAX_BYTES = 16 * 1024;

export function maxBytesOf({ maxBytes = DEFAULT_MAX_BYTES }: Target): number {
  return maxBytes;
}

export function seedsOf({ seeds }: Target): readonly Buffer[] {
  return seeds.map((seed) => Buffer.from(seed));
}
