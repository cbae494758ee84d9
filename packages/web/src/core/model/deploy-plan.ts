import {
  type JsonObject,
  readBoolean,
  readList,
  readNumber,
  readObject,
  readText,
  readTexts,
} from "../json.js";

/** The effect of a deployment if every step succeeds. */
export interface DeployPlan {
  /** Identifies the plan. A deployment with it fails when the plan has changed since. */
  readonly rev: string;
  readonly services: readonly ServicePlan[];
  /** Networks, secrets and configs that are created, updated or removed: "network shop_default: created". */
  readonly others: readonly string[];
  readonly warnings: readonly string[];
}

export interface ServicePlan {
  readonly name: string;
  /** "created", "updated", "unchanged" or "removed". */
  readonly outcome: string;
  readonly replacesTasks: boolean;
  /** The update policy: "2 at a time, start-first". */
  readonly rollout: string;
  readonly changes: readonly FieldChange[];
  readonly steps: readonly PlannedStep[];
  readonly omittedSteps: number;
  readonly problems: readonly string[];
}

export interface FieldChange {
  readonly path: string;
  readonly before: string;
  readonly after: string;
}

export interface PlannedStep {
  /** Steps of one round run together. */
  readonly round: number;
  /** "slot 3: replace, h1 → h2" */
  readonly text: string;
  readonly reason: string;
  readonly isUnplaced: boolean;
}

export function decodePlan(json: JsonObject): DeployPlan {
  const plan = readObject(json, "plan");
  return {
    rev: readText(plan, "rev"),
    services: readList(plan, "services").map(decodeServicePlan),
    others: [
      ...readList(plan, "networks").map((network) => outcomeText("network", network)),
      ...readList(plan, "files").map((file) => outcomeText(fileKind(file), file)),
    ],
    warnings: readTexts(json, "warnings"),
  };
}

/** Returns how often each outcome occurs: "2 created, 1 updated". */
export function planSummary({ services }: DeployPlan): string {
  const outcomes = ["created", "updated", "removed", "unchanged"];
  return outcomes
    .map((outcome) => [services.filter((service) => service.outcome === outcome).length, outcome] as const)
    .filter(([count]) => count > 0)
    .map(([count, outcome]) => `${count} ${outcome}`)
    .join(", ");
}

function decodeServicePlan(json: JsonObject): ServicePlan {
  return {
    name: readText(json, "name"),
    outcome: readKind(json, "kind"),
    replacesTasks: readBoolean(json, "replacesTasks"),
    rollout: readText(json, "rollout"),
    changes: readList(json, "changes").map((change) => ({
      path: readText(change, "path"),
      before: readText(change, "before"),
      after: readText(change, "after"),
    })),
    steps: readList(json, "steps").map(decodeStep),
    omittedSteps: readNumber(json, "omittedSteps"),
    problems: readTexts(json, "problems"),
  };
}

function decodeStep(json: JsonObject): PlannedStep {
  const slot = readNumber(json, "slot");
  const isUnplaced = readBoolean(json, "isUnplaced");
  const nodes = [readText(json, "fromHostname"), isUnplaced ? "no node" : readText(json, "toHostname")];
  return {
    round: readNumber(json, "round"),
    text: `${slot > 0 ? `slot ${slot}: ` : ""}${readKind(json, "kind")}, ${nodes.filter(Boolean).join(" → ")}`,
    reason: readText(json, "reason"),
    isUnplaced,
  };
}

function outcomeText(kind: string, json: JsonObject): string {
  return `${kind} ${readText(json, "name")}: ${readKind(json, "kind")}`;
}

function fileKind(json: JsonObject): string {
  return readText(json, "fileKind") === "FILE_KIND_CONFIG" ? "config" : "secret";
}

/** Returns "created" for "KIND_CREATED". */
function readKind(json: JsonObject, key: string): string {
  return readText(json, key)
    .replace(/^KIND_/, "")
    .toLowerCase();
}
