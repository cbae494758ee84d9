/** The input of a worker thread. */
export interface WorkerTask {
  readonly target: string;
  /** URL of the module that exports the target. */
  readonly file: string;
  readonly seed: number;
  readonly forMs: number;
  readonly corpus: string;
  /** Directory with additional seeds. */
  readonly seeds: string | undefined;
  readonly current: SharedArrayBuffer;
}

/** The result of fuzzing a target, which the worker thread sends to its parent. */
export interface TargetReport {
  readonly executions: number;
  readonly elapsedMs: number;
  readonly newInputs: number;
  readonly failure:
    | { readonly kind: "error" | "slow" | "hang"; readonly reason: string; readonly file: string }
    | undefined;
}

/** Size of the header: the number of inputs so far, and the length of the current one. */
const HEADER_BYTES = 8;

/** The input that a worker thread is running, in shared memory, so that its parent can read it if the thread hangs. */
export class CurrentInput {
  readonly buffer: SharedArrayBuffer;
  readonly #header: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#header = new Int32Array(buffer, 0, 2);
    this.#bytes = new Uint8Array(buffer, HEADER_BYTES);
  }

  static allocate(maxBytes: number): CurrentInput {
    return new CurrentInput(new SharedArrayBuffer(HEADER_BYTES + maxBytes));
  }

  /** Number of inputs so far. */
  get count(): number {
    return Atomics.load(this.#header, 0);
  }

  set(input: Buffer): void {
    this.#bytes.set(input.subarray(0, this.#bytes.length));
    Atomics.store(this.#header, 1, Math.min(input.length, this.#bytes.length));
    Atomics.add(this.#header, 0, 1);
  }

  get(): Buffer {
    return Buffer.from(this.#bytes.slice(0, Atomics.load(this.#header, 1)));
  }
}
