import {
  type DeployPlan,
  type FieldChange,
  type FileOutcome,
  FileOutcome_Kind,
  fileKindName,
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

/** Maximum number of steps per service. `-o json` prints all steps that the server sends. */
const MAX_STEPS = 60;

/** Colors text, or returns it unchanged. */
export type Paint = (style: Style, text: string) => string;

interface Mark {
  readonly symbol: string;
  readonly style: Style;
}

const SERVICE_MARKS = new Map<ServiceOutcome_Kind, Mark>([
  [ServiceOutcome_Kind.CREATED, { symbol: "+", style: "green" }],
  [ServiceOutcome_Kind.UPDATED, { symbol: "~", style: "yellow" }],
  [ServiceOutcome_Kind.REMOVED, { symbol: "-", style: "red" }],
]);
const NETWORK_MARKS = new Map<NetworkOutcome_Kind, Mark & { readonly note: string }>([
  [NetworkOutcome_Kind.CREATED, { symbol: "+", style: "green", note: "new" }],
  [NetworkOutcome_Kind.UPDATED, { symbol: "~", style: "yellow", note: "changed in place" }],
  [NetworkOutcome_Kind.REMOVED, { symbol: "-", style: "red", note: "removed" }],
]);
const FILE_MARKS = new Map<FileOutcome_Kind, Mark & { readonly note?: string }>([
  [FileOutcome_Kind.CREATED, { symbol: "+", style: "green", note: "new" }],
  [FileOutcome_Kind.UPDATED, { symbol: "~", style: "yellow" }],
  [FileOutcome_Kind.REMOVED, { symbol: "-", style: "red", note: "removed" }],
]);
const STEP_MARKS = new Map<PlannedStep_Kind, Mark>([
  [PlannedStep_Kind.CREATE, { symbol: "+", style: "green" }],
  [PlannedStep_Kind.REPLACE, { symbol: "~", style: "yellow" }],
  [PlannedStep_Kind.STOP, { symbol: "-", style: "red" }],
]);
const UNPLACED_MARK: Mark = { symbol: "!", style: "red" };
const UNCHANGED_MARK: Mark = { symbol: "=", style: "dim" };

/** Formats the plan of `berth stack deploy --dry-run`: each service with its changes and steps, then a summary. */
export function renderPlan(stack: string, plan: DeployPlan, paint: Paint): readonly string[] {
  const changed = plan.services.filter((service) => !isUnchanged(service));
  const unchanged = plan.services.filter(isUnchanged).map(({ name }) => name);
  const resourceLines = [
    ...plan.networks.flatMap((network) => networkLine(network, paint)),
    ...plan.files.flatMap((file) => fileLine(file, paint)),
  ];
  return [
    ...resourceLines,
    ...changed.flatMap((service) => serviceLines(service, paint)),
    ...(unchanged.length === 0
      ? []
      : [withMark(UNCHANGED_MARK, `unchanged: ${unchanged.join(", ")}`, paint)]),
    "",
    planSummary(plan),
    ...(changed.length + resourceLines.length === 0
      ? []
      : [`To apply this plan, run: berth stack deploy … --plan-rev ${plan.rev} ${stack}`]),
  ];
}

function networkLine({ name, kind }: NetworkOutcome, paint: Paint): readonly string[] {
  const mark = NETWORK_MARKS.get(kind);
  return mark === undefined ? [] : [withMark(mark, `network ${paint("bold", name)}  ${mark.note}`, paint)];
}

function fileLine({ fileKind, name, kind, version }: FileOutcome, paint: Paint): readonly string[] {
  const mark = FILE_MARKS.get(kind);
  if (mark === undefined) return [];
  const note = mark.note ?? `version ${version}`;
  return [withMark(mark, `${fileKindName(fileKind)} ${paint("bold", name)}  ${note}`, paint)];
}

/** Returns whether the service has no changes, no steps and no problems. */
function isUnchanged({ kind, steps, problems }: ServicePlan): boolean {
  return kind === ServiceOutcome_Kind.UNCHANGED && steps.length === 0 && problems.length === 0;
}

function serviceLines(service: ServicePlan, paint: Paint): readonly string[] {
  const mark = SERVICE_MARKS.get(service.kind) ?? UNCHANGED_MARK;
  const steps = service.steps.slice(0, MAX_STEPS);
  const hiddenCount = service.steps.length - steps.length + service.omittedSteps;
  const hasRounds = service.steps.some(({ round }) => round > 1);
  const stepLine = (step: PlannedStep, index: number): string => {
    const prefix = hasRounds ? roundPrefix(step, steps[index - 1]) : "  ";
    const mark = step.isUnplaced ? UNPLACED_MARK : (STEP_MARKS.get(step.kind) ?? UNCHANGED_MARK);
    const text = `${stepTaskName(service.name, step)}  ${stepText(step)}`;
    return `  ${prefix}${withMark(mark, text, paint)}`;
  };
  return [
    withMark(mark, `${paint("bold", service.name)}${versionNote(service)}`, paint),
    ...service.changes.map((change) => `    ${changeText(change, paint)}`),
    ...steps.map(stepLine),
    ...(hiddenCount > 0 ? [`      … and ${hiddenCount} more`] : []),
    ...service.problems.map((problem) => `    ${withMark(UNPLACED_MARK, oneLine(problem), paint)}`),
  ];
}

function versionNote({ kind, fromVersion, toVersion, replacesTasks, rollout }: ServicePlan): string {
  switch (kind) {
    case ServiceOutcome_Kind.UPDATED: {
      const method = replacesTasks ? `replaces tasks, ${rollout}` : "in place, replaces no tasks";
      return `  version ${fromVersion} → ${toVersion}, ${method}`;
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

/** Returns the number of the round before its first step, and spaces before the other steps. */
function roundPrefix({ round }: PlannedStep, previous: PlannedStep | undefined): string {
  return (previous?.round === round ? "" : `  ${round}.`).padEnd(6);
}

function stepText({ kind, fromHostname, toHostname, isUnplaced, reason }: PlannedStep): string {
  if (isUnplaced) return `no node: ${oneLine(reason)}`;
  switch (kind) {
    case PlannedStep_Kind.CREATE:
      return `on ${toHostname}`;
    case PlannedStep_Kind.REPLACE:
      return fromHostname === toHostname ? `on ${toHostname}` : `${fromHostname} → ${toHostname}`;
    case PlannedStep_Kind.STOP:
      return `on ${fromHostname}${reason === "" ? "" : `, ${oneLine(reason)}`}`;
    default:
      return oneLine(reason);
  }
}

function stepTaskName(service: string, { slot, fromHostname, toHostname }: PlannedStep): string {
  return `${service}.${slot === 0 ? fromHostname || toHostname || "?" : slot}`;
}

function withMark({ symbol, style }: Mark, text: string, paint: Paint): string {
  return `${paint(style, symbol)} ${text}`;
}
