import { createHash } from "node:crypto";
import { BerthError, type NetworkOutcome, type ServicePlan, type ServiceSpec } from "@berth/proto";
import { canonicalText } from "../../core/model/canonical.js";

const WHOLE_LENGTH = 12;
/** Enough to see which service differs; that all are the same is what the whole's own letters say. */
const PART_LENGTH = 4;
/** A name that a person still copies. */
const MAX_PARTS = 40;

/** What a plan does to one service. */
export interface PlanPart {
  readonly plan: ServicePlan;
  /** What it makes of the service; undefined when it removes it. */
  readonly spec: ServiceSpec | undefined;
}

/** What a plan does. */
export interface PlanParts {
  readonly parts: readonly PlanPart[];
  /** What it does to networks. */
  readonly networks: readonly NetworkOutcome[];
}

/**
 * The name of a plan: the same for plans that do the same to the same versions. Where tasks would go is not part of
 * it, as that changes with every task that starts or ends anywhere.
 */
export function planRev({ parts, networks }: PlanParts): string {
  const texts = sorted(parts).map(partText);
  const whole = hashOf([...texts, ...networks.map(networkText).sort()].join("\n")).slice(0, WHOLE_LENGTH);
  if (parts.length > MAX_PARTS) return whole;
  return `${whole}-${texts.map((text) => hashOf(text).slice(0, PART_LENGTH)).join("")}`;
}

/** @throws BerthError BERTH_PLAN_CHANGED with the services that differ, as far as the names tell them. */
export function checkPlanRev(asked: string, plan: PlanParts, stack: string): void {
  const current = planRev(plan);
  if (asked === current) return;
  const differing = differences(asked, current, sorted(plan.parts));
  const what = differing.length === 0 ? "" : `: ${differing.join(", ")} would differ`;
  throw new BerthError({
    code: "BERTH_PLAN_CHANGED",
    message: `Stack ${stack} was not deployed: the plan is another by now${what}. Look at the new one with --dry-run.`,
    details: { planRev: current, services: differing.join(",") },
  });
}

function differences(asked: string, current: string, parts: readonly PlanPart[]): readonly string[] {
  const [, old = ""] = asked.split("-");
  const [, fresh = ""] = current.split("-");
  if (old.length !== fresh.length) return []; // Other services are part of it, or it is no plan's name at all.
  const at = (text: string, index: number): string =>
    text.slice(index * PART_LENGTH, (index + 1) * PART_LENGTH);
  return parts.filter((_, index) => at(old, index) !== at(fresh, index)).map(({ plan }) => plan.name);
}

function sorted(parts: readonly PlanPart[]): readonly PlanPart[] {
  return [...parts].sort((a, b) => (a.plan.name < b.plan.name ? -1 : 1));
}

function partText({ plan, spec }: PlanPart): string {
  const { name, kind, fromVersion, steps } = plan;
  const taken = steps.map((step) => [step.kind, step.slot, step.round, step.isUnplaced]);
  return canonicalText({ name, kind, fromVersion, spec: spec ?? null, taken });
}

function networkText({ name, kind }: NetworkOutcome): string {
  return `network ${name} ${kind}`;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
