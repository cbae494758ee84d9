import { Rng } from "../../sim/simulator/rng.js";
import type { Coverage } from "./coverage.js";
import { execute, type Failure } from "./execute.js";
import { minimize } from "./minimize.js";
import { mutate, wordsOf } from "./mutate.js";
import { mutateJson } from "./mutate-json.js";
import { maxBytesOf, seedsOf, type Target } from "./target.js";

/**
 * Number of inputs between two coverage readings, each of which takes about 20 ms. Doubles while nothing new is found,
 * because a fast parser handles a thousand inputs in that time.
 */
const BATCH = { min: 64, max: 2_048 } as const;
/** Share of JSON mutations that change bytes instead of values. */
const JSON_BYTES_RATIO = 0.3;
/** Maximum size of a target's corpus in the repository. */
const MAX_CORPUS_BYTES = 8 * 1024;

export interface FuzzOptions {
  readonly seed: number;
  /** Inputs that were kept by earlier runs. */
  readonly corpus: readonly Buffer[];
  /** Returns whether to stop. */
  readonly isOver: (executions: number) => boolean;
  /** Finds inputs that reach new code. Without it, only the seeds and the corpus are mutated. */
  readonly coverage?: Coverage;
  /** Called before each execution, so that the input is known if the target hangs. */
  readonly onInput?: (input: Buffer) => void;
}

export interface FuzzResult {
  readonly executions: number;
  /** Inputs that reached new code. */
  readonly found: readonly Buffer[];
  readonly failure: Failure | undefined;
}

/** Runs a target with its seeds, the corpus and mutations of both until the first failure. Deterministic for a seed. */
export function fuzz(target: Target, options: FuzzOptions): Promise<FuzzResult> {
  return new Fuzzer(target, options).run();
}

class Fuzzer {
  readonly #target: Target;
  readonly #options: FuzzOptions;
  readonly #rng: Rng;
  readonly #tokens: readonly Buffer[];
  readonly #inputs: Buffer[] = [];
  readonly #found: Buffer[] = [];
  #executions = 0;
  #batchSize: number = BATCH.min;

  constructor(target: Target, options: FuzzOptions) {
    this.#target = target;
    this.#options = options;
    this.#rng = new Rng(`${target.name} ${options.seed}`);
    const words = target.format === "json" ? [] : wordsOf(seedsOf(target));
    this.#tokens = [...(target.tokens ?? []), ...words].map((token) => Buffer.from(token));
  }

  async run(): Promise<FuzzResult> {
    this.#inputs.push(...seedsOf(this.#target), ...this.#options.corpus);
    let failure = await this.#runAll(this.#inputs);
    this.#options.coverage?.gain({ isRecorded: true });
    while (failure === undefined && !this.#isOver) failure = await this.#runBatch();
    const smallest = failure && (await this.#minimizeFailure(failure));
    return { executions: this.#executions, found: this.#found, failure: smallest };
  }

  get #isOver(): boolean {
    return this.#options.isOver(this.#executions);
  }

  async #runBatch(): Promise<Failure | undefined> {
    const batch = Array.from({ length: this.#batchSize }, () => this.#nextInput());
    const failure = await this.#runAll(batch);
    const { coverage } = this.#options;
    if (failure !== undefined || coverage === undefined) return failure;
    const hasGained = coverage.gain({ isRecorded: false }) > 0;
    this.#batchSize = hasGained ? BATCH.min : Math.min(BATCH.max, 2 * this.#batchSize);
    if (hasGained) {
      await this.#keepNewInputs(batch);
      // Code that runs only once, such as an initialization, must not look new in every batch.
      await this.#runAll(batch);
      coverage.gain({ isRecorded: true });
    }
    return undefined;
  }

  #nextInput(): Buffer {
    const [rng, maxBytes] = [this.#rng, maxBytesOf(this.#target)];
    const input = rng.pick(this.#inputs);
    if (this.#target.format === "json" && !rng.chance(JSON_BYTES_RATIO)) {
      const json = mutateJson(input.toString(), rng);
      if (json !== undefined && json.length <= maxBytes) return Buffer.from(json);
    }
    return mutate(input, { rng, tokens: this.#tokens, others: this.#inputs, maxBytes });
  }

  async #runAll(inputs: readonly Buffer[]): Promise<Failure | undefined> {
    for (const input of inputs) {
      this.#options.onInput?.(input);
      const failure = await execute(this.#target, input);
      this.#executions += 1;
      if (failure !== undefined) return failure;
      if (this.#isOver) break;
    }
    return undefined;
  }

  /** Finds the inputs of a batch that reach new code by bisection, minimizes them and keeps them. */
  async #keepNewInputs(batch: readonly Buffer[]): Promise<void> {
    const [input] = batch;
    if (input === undefined || this.#isOver || (await this.#gainOf(batch)) === 0) return;
    if (batch.length > 1) {
      const middle = Math.ceil(batch.length / 2);
      await this.#keepNewInputs(batch.slice(0, middle));
      await this.#keepNewInputs(batch.slice(middle));
      return;
    }
    const gained = await this.#gainOf([input]);
    if (gained === 0) return;
    const smallest = await minimize(input, async (candidate) => (await this.#gainOf([candidate])) >= gained);
    this.#options.coverage?.reset();
    await this.#runAll([smallest]);
    this.#options.coverage?.gain({ isRecorded: true });
    this.#inputs.push(smallest);
    this.#found.push(smallest);
  }

  async #gainOf(inputs: readonly Buffer[]): Promise<number> {
    this.#options.coverage?.reset();
    await this.#runAll(inputs);
    return this.#options.coverage?.gain({ isRecorded: false }) ?? 0;
  }

  /** Minimizes the input as long as it causes the same failure. */
  async #minimizeFailure(failure: Failure): Promise<Failure> {
    if (failure.kind !== "error") return failure;
    let smallest = failure;
    await minimize(failure.input, async (candidate) => {
      const again = await execute(this.#target, candidate);
      if (again === undefined || placeOf(again) !== placeOf(failure)) return false;
      smallest = again;
      return true;
    });
    return smallest;
  }
}

/** Identifies a failure by its kind and by the line that threw the error. */
function placeOf({ kind, reason }: Failure): string {
  return `${kind} ${/^\s+at .*$/m.exec(reason)?.[0]}`;
}

/** Returns the smallest inputs that together reach all code that `inputs` reach and the seeds do not. */
export async function selectCorpus(
  target: Target,
  inputs: readonly Buffer[],
  coverage: Coverage,
): Promise<readonly Buffer[]> {
  coverage.forget();
  for (const seed of seedsOf(target)) await execute(target, seed);
  coverage.gain({ isRecorded: true });
  const selected: Buffer[] = [];
  let bytes = 0;
  for (const input of [...inputs].sort((left, right) => left.length - right.length)) {
    if (bytes + input.length > MAX_CORPUS_BYTES) break;
    await execute(target, input);
    if (coverage.gain({ isRecorded: true }) === 0) continue;
    selected.push(input);
    bytes += input.length;
  }
  return selected;
}
