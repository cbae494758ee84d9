import {
  type DeployPlan,
  type FieldChange,
  type NetworkOutcome,
  NetworkOutcome_Kind,
  type PlannedStep,
  PlannedStep_Kind,
  ServiceOutcome_Kind,
  type ServicePlan,
} from "@berth/proto";
import type { Style } from "../../../output/style.js";
import { oneLine } from "../../../output/table.js";
import { planSummary } from "./plan-summary.js";

/** More steps of one service nobody reads; -o json has all. */
const MAX_STEPS = 60;

/** Colours a text, or gives it back as it is. */
export type Paint = (style: Style, text: string) => string;

interface Mark {
  readonly sign: string;
  readonly style: Style;
}

const SERVICE_MARKS = new Map<ServiceOutcome_Kind, Mark>([
  [ServiceOutcome_Kind.CREATED, { sign: "+", style: "green" }],
  [ServiceOutcome_Kind.UPDATED, { sign: "~", style: "yellow" }],
  [ServiceOutcome_Kind.REMOVED, { sign: "-", style: "red" }],
]);
const NETWORK_MARKS = new Map<NetworkOutcome_Kind, Mark & { readonly note: string }>([
  [NetworkOutcome_Kind.CREATED, { sign: "+", style: "green", note: "new" }],
  [NetworkOutcome_Kind.UPDATED, { sign: "~", style: "yellow", note: "changed in place" }],
  [NetworkOutcome_Kind.REMOVED, { sign: "-", style: "red", note: "removed" }],
]);
const STEP_MARKS = new Map<PlannedStep_Kind, Mark>([
  [PlannedStep_Kind.CREATE, { sign: "+", style: "green" }],
  [PlannedStep_Kind.REPLACE, { sign: "~", style: "yellow" }],
  [PlannedStep_Kind.STOP, { sign: "-", style: "red" }],
]);
const UNPLACED: Mark = { sign: "!", style: "red" };
const NOTHING: Mark = { sign: "=", style: "dim" };

/** A plan for a person: each service with what changes in it, its steps in their rounds, and the sum. */
export function renderPlan(stack: string, plan: DeployPlan, paint: Paint): readonly string[] {
  const touched = plan.services.filter((service) => !isUntouched(service));
  const untouched = plan.services.filter(isUntouched).map(({ name }) => name);
  const networks = plan.networks.flatMap((network) => networkLine(network, paint));
  return [
    ...networks,
    ...touched.flatMap((service) => serviceLines(service, paint)),
    ...(untouched.length === 0 ? [] : [marked(NOTHING, `unchanged: ${untouched.join(", ")}`, paint)]),
    "",
    planSummary(plan),
    ...(touched.length + networks.length === 0
      ? []
      : [`To do exactly this: berth stack deploy … --plan-rev ${plan.rev} ${stack}`]),
  ];
}

function networkLine({ name, kind }: NetworkOutcome, paint: Paint): readonly string[] {
  const mark = NETWORK_MARKS.get(kind);
  return mark === undefined ? [] : [marked(mark, `network ${paint("bold", name)}  ${mark.note}`, paint)];
}

/** Nothing is said of it, and nothing would be done. */
function isUntouched({ kind, steps, problems }: ServicePlan): boolean {
  return kind === ServiceOutcome_Kind.UNCHANGED && steps.length === 0 && problems.length === 0;
}

function serviceLines(service: ServicePlan, paint: Paint): readonly string[] {
  const mark = SERVICE_MARKS.get(service.kind) ?? NOTHING;
  const steps = service.steps.slice(0, MAX_STEPS);
  const more = service.steps.length - steps.length + service.omittedSteps;
  return [
    marked(mark, `${paint("bold", service.name)}${headNote(service)}`, paint),
    ...service.changes.map((change) => `    ${changeText(change, paint)}`),
    ...steps.map((step, index) => `  ${stepLine(service, step, { before: steps[index - 1], paint })}`),
    ...(more > 0 ? [`      … and ${more} more in the same way`] : []),
    ...service.problems.map((problem) => `    ${marked(UNPLACED, oneLine(problem), paint)}`),
  ];
}

function headNote({ kind, fromVersion, toVersion, replacesTasks, rollout }: ServicePlan): string {
  switch (kind) {
    case ServiceOutcome_Kind.UPDATED: {
      const how = replacesTasks ? `replaces its tasks, ${rollout}` : "in place, no task is replaced";
      return `  version ${fromVersion} → ${toVersion}, ${how}`;
    }
    case ServiceOutcome_Kind.CREATED:
      return "  new";
    case ServiceOutcome_Kind.REMOVED:
      return "  removed";
    default:
      return "  unchanged";
  }
}

function changeText({ path, before, after }: FieldChange, paint: Paint): string {
  if (before === "") return `${path}: ${paint("green", after)}`;
  if (after === "") return `${path}: ${paint("red", before)} → none`;
  return `${path}: ${paint("red", before)} → ${paint("green", after)}`;
}

function stepLine(
  { name, steps }: ServicePlan,
  step: PlannedStep,
  { before, paint }: { readonly before: PlannedStep | undefined; readonly paint: Paint },
): string {
  const hasRounds = steps.some(({ round }) => round > 1);
  const isFirst = before?.round !== step.round;
  const round = !hasRounds ? "  " : (isFirst ? `  ${step.round}.` : "").padEnd(6);
  const mark = step.isUnplaced ? UNPLACED : (STEP_MARKS.get(step.kind) ?? NOTHING);
  return `${round}${marked(mark, `${taskName(name, step)}  ${stepText(step)}`, paint)}`;
}

function stepText({ kind, fromHostname, toHostname, isUnplaced, reason: why }: PlannedStep): string {
  if (isUnplaced) return `no node: ${oneLine(why)}`;
  switch (kind) {
    case PlannedStep_Kind.CREATE:
      return `on ${toHostname}`;
    case PlannedStep_Kind.REPLACE:
      return fromHostname === toHostname ? `on ${toHostname}` : `${fromHostname} → ${toHostname}`;
    case PlannedStep_Kind.STOP:
      return `on ${fromHostname}${why === "" ? "" : `, ${oneLine(why)}`}`;
    default:
      return oneLine(why);
  }
}

function taskName(service: string, { slot, fromHostname, toHostname }: PlannedStep): string {
  return `${service}.${slot === 0 ? fromHostname || toHostname || "?" : slot}`;
}

function marked({ sign, style }: Mark, text: string, paint: Paint): string {
  return `${paint(style, sign)} ${text}`;
}
