import type { Placement } from "../../gen/berth/v1/spec.js";
import { parseConstraint } from "./constraint.js";
import type { Report } from "./violation.js";

/** Maximum number of preferences. Each level multiplies the number of groups that placement compares. */
const MAX_PREFERENCES = 8;

/** Checks the placement of a service. */
export function validatePlacement(placement: Placement, report: Report): void {
  placement.constraints.forEach((text, index) => {
    const parsed = parseConstraint(text);
    if (parsed.kind === "invalid") report(`placement.constraints[${index}]`, parsed.reason);
  });
  placement.spread.forEach((attribute, index) => {
    const problem = attributeProblem(attribute);
    if (problem !== undefined) report(`placement.spread[${index}]`, problem);
  });
  if (placement.spread.length > MAX_PREFERENCES) {
    const count = placement.spread.length;
    report("placement.spread", `too many spread attributes (${count}, maximum ${MAX_PREFERENCES})`);
  }
}

/** Returns why an attribute is invalid, or undefined if a constraint could use it. */
function attributeProblem(attribute: string): string | undefined {
  const parsed = parseConstraint(`${attribute} == x`);
  if (parsed.kind === "constraint" && parsed.attribute === attribute) return undefined;
  const reason = parsed.kind === "invalid" ? parsed.reason : undefined;
  return /^[^\s=!]+$/.test(attribute) && reason !== undefined
    ? reason
    : `${JSON.stringify(attribute)} is not a node attribute, such as "node.labels.zone"`;
}
