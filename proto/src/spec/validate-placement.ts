import type { Placement } from "../../gen/berth/v1/spec.js";
import { parseConstraint } from "./constraint.js";
import type { Report } from "./violation.js";

/** Each level multiplies the groups that are compared. */
const MAX_PREFERENCES = 8;

/** Checks where the tasks of a service may go. */
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
    report("placement.spread", `tasks can be spread over ${MAX_PREFERENCES} attributes, not over ${count}`);
  }
}

/** An attribute is good when a constraint could name it. */
function attributeProblem(attribute: string): string | undefined {
  const parsed = parseConstraint(`${attribute} == x`);
  if (parsed.kind === "constraint" && parsed.attribute === attribute) return undefined;
  const reason = parsed.kind === "invalid" ? parsed.reason : undefined;
  return /^[^\s=!]+$/.test(attribute) && reason !== undefined
    ? reason
    : `${JSON.stringify(attribute)} is not an attribute of nodes: write it like "node.labels.zone"`;
}
