import { createHash } from "node:crypto";
import {
  BerthError,
  type FileOutcome,
  type NetworkOutcome,
  type ServicePlan,
  type ServiceSpec,
} from "@berth/proto";
import { canonicalText } from "../../core/model/canonical.js";

/** Number of hexadecimal digits in the hash of a whole plan. */
const PLAN_HASH_LENGTH = 12;

/**
 * Number of hexadecimal digits in the hash of one service. These short hashes show which services differ; the hash of
 * the whole plan decides whether two plans are equal.
 */
const SERVICE_HASH_LENGTH = 4;

/**
 * Maximum number of service hashes in a revision. With more services, a revision would be too long to copy, and
 * consists of the plan's hash only.
 */
const MAX_SERVICE_HASHES = 40;

/** The plan for one service. */
export interface PlannedService {
  readonly plan: ServicePlan;
  /** The service's new spec; undefined if the service is removed. */
  readonly spec: ServiceSpec | undefined;
}

/** The plan for one secret or config. */
export interface PlannedFile {
  readonly outcome: FileOutcome;
  /** Keyed hash of the content, so that the plan changes with the content. Only used as input of a hash. */
  readonly contentMac: string;
}

/** Everything that a plan's revision covers. */
export interface RevisedPlan {
  readonly services: readonly PlannedService[];
  readonly networks: readonly NetworkOutcome[];
  readonly files: readonly PlannedFile[];
}

/**
 * Returns the revision of a plan. Plans with the same steps for the same versions have the same revision. It does not
 * cover the chosen nodes, since they can change whenever a task in the cluster starts or ends.
 */
export function computePlanRevision({ services, networks, files }: RevisedPlan): string {
  const serviceTexts = sortByName(services).map(serviceText);
  const otherTexts = [...networks.map(networkText), ...files.map(fileText)].sort();
  const planHash = sha256Hex([...serviceTexts, ...otherTexts].join("\n")).slice(0, PLAN_HASH_LENGTH);
  if (services.length > MAX_SERVICE_HASHES) return planHash;
  return `${planHash}-${serviceTexts.map((text) => sha256Hex(text).slice(0, SERVICE_HASH_LENGTH)).join("")}`;
}

/**
 * Checks that a plan still has this revision.
 *
 * @throws BerthError BERTH_PLAN_CHANGED with the services that differ, as far as the two revisions show them
 */
export function checkPlanRevision(requested: string, plan: RevisedPlan, stack: string): void {
  const current = computePlanRevision(plan);
  if (requested === current) return;
  const changedServices = findChangedServices(requested, current, sortByName(plan.services));
  const subject = changedServices.length === 0 ? "" : ` for ${changedServices.join(", ")}`;
  throw new BerthError({
    code: "BERTH_PLAN_CHANGED",
    message: `stack ${stack} was not deployed: the plan has changed${subject}; review it with --dry-run`,
    details: { planRev: current, services: changedServices.join(",") },
  });
}

function findChangedServices(
  requested: string,
  current: string,
  services: readonly PlannedService[],
): readonly string[] {
  const before = parseServiceHashes(requested);
  const after = parseServiceHashes(current);
  // The plans have different services.
  if (before.length !== after.length) return [];
  return services.filter((_, index) => before[index] !== after[index]).map(({ plan }) => plan.name);
}

/** Returns the service hashes of a revision, in the order of the services' names; empty when it has none. */
function parseServiceHashes(revision: string): readonly string[] {
  const [, text = ""] = revision.split("-");
  const count = Math.ceil(text.length / SERVICE_HASH_LENGTH);
  return Array.from({ length: count }, (_, index) =>
    text.slice(index * SERVICE_HASH_LENGTH, (index + 1) * SERVICE_HASH_LENGTH),
  );
}

function sortByName(services: readonly PlannedService[]): readonly PlannedService[] {
  return services.toSorted((a, b) => (a.plan.name < b.plan.name ? -1 : 1));
}

function serviceText({ plan, spec }: PlannedService): string {
  const { name, kind, fromVersion, steps } = plan;
  const stepKeys = steps.map((step) => [step.kind, step.slot, step.round, step.isUnplaced]);
  return canonicalText({ name, kind, fromVersion, spec: spec ?? null, steps: stepKeys });
}

function networkText({ name, kind }: NetworkOutcome): string {
  return `network ${name} ${kind}`;
}

function fileText({ outcome, contentMac }: PlannedFile): string {
  const { fileKind, name, kind, version } = outcome;
  return `file ${fileKind} ${name} ${kind} ${version} ${contentMac}`;
}

function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
