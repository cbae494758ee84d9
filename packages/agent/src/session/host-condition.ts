import type { EngineInfo } from "../engine/engine.js";
import type { Condition } from "./describe-node.js";

/** The description of a node travels, and is stored, as a whole. */
const MAX_PROBLEMS = 50;

/** What this host is at the moment. Tells of every change, and of nothing else. */
export class HostCondition {
  readonly #onChange: (now: Condition) => void;
  #engine: EngineInfo | undefined;
  #engineProblem: readonly string[] = [];
  #ingressProblems: readonly string[] = [];
  #told = "";

  constructor(onChange: (now: Condition) => void) {
    this.#onChange = onChange;
  }

  get now(): Condition {
    const all = [...this.#engineProblem, ...this.#ingressProblems];
    const surplus = all.length - MAX_PROBLEMS;
    const problems = surplus > 0 ? [...all.slice(0, MAX_PROBLEMS), `and ${surplus} more`] : all;
    return { engine: this.#engine, problems };
  }

  engineIsUp(info: EngineInfo): void {
    this.#engine = info;
    this.#engineProblem = [];
    this.#tell();
  }

  engineIsAway(reason: string, since: Date): void {
    this.#engine = undefined;
    this.#engineProblem = [`Docker does not answer, since ${since.toISOString()}: ${reason}`];
    this.#tell();
  }

  ingressProblems(problems: readonly string[]): void {
    this.#ingressProblems = problems;
    this.#tell();
  }

  #tell(): void {
    const { now } = this;
    const text = JSON.stringify(now);
    if (text === this.#told) return;
    this.#told = text;
    this.#onChange(now);
  }
}
