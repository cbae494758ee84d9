import { DataPlane, type HostListener } from "@berth/proto";
import type { EngineInfo } from "../engine/engine.js";
import type { ConditionSnapshot } from "./describe-node.js";

/** The description of a node travels, and is stored, as a whole. */
const MAX_PROBLEMS = 50;

/** What this host is at the moment. Tells of every change, and of nothing else. */
export class HostCondition {
  readonly #onChange: (now: ConditionSnapshot) => void;
  #engine: EngineInfo | undefined;
  #engineProblem: readonly string[] = [];
  #publishingProblem: readonly string[] = [];
  #ingressProblems: readonly string[] = [];
  #networkProblems: readonly string[] = [];
  #listeners: readonly HostListener[] = [];
  #volumes: readonly string[] = [];
  #volumesAreKnown = false;
  #dataPlane = DataPlane.fromPartial({ overlayReason: "not known yet", wireguardReason: "not known yet" });
  #told = "";

  constructor(onChange: (now: ConditionSnapshot) => void) {
    this.#onChange = onChange;
  }

  get snapshot(): ConditionSnapshot {
    const all = [
      ...this.#engineProblem,
      ...this.#publishingProblem,
      ...this.#ingressProblems,
      ...this.#networkProblems,
    ];
    const surplus = all.length - MAX_PROBLEMS;
    const problems = surplus > 0 ? [...all.slice(0, MAX_PROBLEMS), `and ${surplus} more`] : all;
    return {
      // A task must not be sent here, nor away from here, before it is known which volumes are here.
      engine: this.#volumesAreKnown ? this.#engine : undefined,
      problems,
      listeners: this.#listeners,
      volumes: this.#volumes,
      dataPlane: this.#dataPlane,
    };
  }

  engineConnected(info: EngineInfo): void {
    if (this.#engine === undefined) this.#volumesAreKnown = false;
    this.#engine = info;
    this.#engineProblem = [];
    // Docker restores its firewall rules when it starts.
    this.#publishingProblem = [];
    this.#tell();
  }

  /** Sets why Docker cannot publish ports; "" when it can. */
  portPublishing(problem: string): void {
    if (problem === (this.#publishingProblem[0] ?? "")) return;
    this.#publishingProblem = problem === "" ? [] : [problem];
    this.#tell();
  }

  engineDisconnected(reason: string, since: Date): void {
    this.#engine = undefined;
    this.#engineProblem = [`Docker does not answer, since ${since.toISOString()}: ${reason}`];
    this.#tell();
  }

  setIngressProblems(problems: readonly string[]): void {
    this.#ingressProblems = problems;
    this.#tell();
  }

  setNetworkProblems(problems: readonly string[]): void {
    this.#networkProblems = problems;
    this.#tell();
  }

  setForeignListeners(listeners: readonly HostListener[]): void {
    this.#listeners = listeners;
    this.#tell();
  }

  setVolumes(volumes: readonly string[]): void {
    this.#volumes = volumes;
    this.#volumesAreKnown = true;
    this.#tell();
  }

  /** What of the data plane has been found out, or has changed. */
  updateDataPlane(found: Partial<DataPlane>): void {
    this.#dataPlane = { ...this.#dataPlane, ...found };
    this.#tell();
  }

  /** Docker does not list them: what was known stays, and the host is not kept waiting. */
  setVolumesUnknown(): void {
    if (this.#engine !== undefined) this.setVolumes(this.#volumes);
  }

  #tell(): void {
    const { snapshot: now } = this;
    const text = JSON.stringify(now);
    if (text === this.#told) return;
    this.#told = text;
    this.#onChange(now);
  }
}
