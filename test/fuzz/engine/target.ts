/** One parser, or several of the same input, to test with arbitrary bytes. */
export interface Target {
  readonly name: string;
  /** Valid inputs. Mutations start with these and the corpus. */
  readonly seeds: readonly (string | Uint8Array)[];
  /** Texts that the parser treats specially. The words of text seeds are added. */
  readonly tokens?: readonly string[];
  /** `json` also mutates values and keys of the document, so that most inputs stay valid JSON. @default "bytes" */
  readonly format?: "bytes" | "json";
  /** Largest input. Large inputs reveal work that is not linear. */
  readonly maxBytes?: number;
  /**
   * Parses the input and checks the result: bounds, and a round trip where there is an encoder. Throws only for a bug. The
   * errors that a parser reports by contract are caught with {@link rejects}.
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
