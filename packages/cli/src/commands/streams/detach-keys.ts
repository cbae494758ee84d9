import { invalidOptionError } from "../../options/parse-options.js";

const CONTROL_KEYS = "@abcdefghijklmnopqrstuvwxyz[\\]^_";

/** Parses Docker's `--detach-keys`: keys such as `a` or `ctrl-p`, separated by commas. Returns their bytes. */
export function parseDetachKeys(text: string): readonly number[] {
  return text.split(",").map((key) => {
    const [, control] = /^ctrl-(.)$/i.exec(key) ?? [];
    const code = control === undefined ? -1 : CONTROL_KEYS.indexOf(control.toLowerCase());
    if (code >= 0) return code;
    if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0);
    throw invalidOptionError(
      "--detach-keys",
      `${JSON.stringify(key)} is not a key; use a letter, or ctrl- and one of a-z @[\\]^_`,
    );
  });
}

/** A part of the input, and whether the detach keys followed it. */
export interface ScannedInput {
  readonly bytes: Uint8Array;
  readonly isDetached: boolean;
}

/**
 * Finds the detach keys in the input of a terminal. As in Docker, the beginning of the sequence is held back until the
 * next key shows whether it continues.
 */
export class DetachScanner {
  readonly #keys: readonly number[];
  #matched = 0;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** Returns the next input without held-back keys. Ignores the rest of the input after the detach keys. */
  scan(input: Uint8Array): ScannedInput {
    const bytes: number[] = [];
    for (const byte of input) {
      if (byte !== this.#keys[this.#matched]) {
        bytes.push(...this.#keys.slice(0, this.#matched));
        this.#matched = 0;
      }
      if (byte !== this.#keys[this.#matched]) {
        bytes.push(byte);
      } else {
        this.#matched += 1;
      }
      if (this.#matched === this.#keys.length) return { bytes: Uint8Array.from(bytes), isDetached: true };
    }
    return { bytes: Uint8Array.from(bytes), isDetached: false };
  }
}

/** Yields the input up to the detach keys, then calls `onDetach` and ends. */
export async function* withoutDetachKeys(
  input: AsyncIterable<Uint8Array>,
  keys: readonly number[],
  onDetach: () => void,
): AsyncGenerator<Uint8Array> {
  const scanner = new DetachScanner(keys);
  for await (const chunk of input) {
    const { bytes, isDetached } = scanner.scan(chunk);
    if (bytes.length > 0) yield bytes;
    if (isDetached) return onDetach();
  }
}
