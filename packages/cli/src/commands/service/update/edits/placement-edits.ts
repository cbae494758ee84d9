import type { ServiceSpec } from "@berth/proto";
import type { Parsed } from "../../../../compose/text/units.js";
import { type Edit, edit, inPlacement } from "../edit.js";
import { count, invalid, nonEmptyText, replaced, value, without } from "../flag-values.js";

/** How many tasks there are, and where they may go. */
export const PLACEMENT_EDITS = {
  replicas: (spec, text) => editCount(spec, text, withReplicas),
  "max-concurrent": (spec, text) => editCount(spec, text, withMaxConcurrent),
  "replicas-max-per-node": edit(
    count,
    inPlacement((_, maxReplicasPerNode) => ({ maxReplicasPerNode })),
  ),
  "constraint-rm": edit(
    nonEmptyText,
    inPlacement(({ constraints }, text) => ({ constraints: without(constraints, isSame(text)) })),
  ),
  "constraint-add": edit(
    nonEmptyText,
    inPlacement(({ constraints }, text) => ({ constraints: replaced(constraints, isSame(text), text) })),
  ),
  "placement-pref-rm": edit(
    spreadAttribute,
    inPlacement(({ spread }, attribute) => ({ spread: without(spread, (one) => one === attribute) })),
  ),
  "placement-pref-add": edit(
    spreadAttribute,
    inPlacement(({ spread }, attribute) => ({
      spread: replaced(spread, (one) => one === attribute, attribute),
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;

function editCount(
  spec: ServiceSpec,
  text: string,
  change: (spec: ServiceSpec, count: number) => Parsed<ServiceSpec>,
): Parsed<ServiceSpec> {
  const parsed = count(text);
  return parsed.kind === "invalid" ? parsed : change(spec, parsed.value);
}

function withReplicas(spec: ServiceSpec, replicas: number): Parsed<ServiceSpec> {
  const { autoscale } = spec;
  switch (spec.mode?.$case) {
    case "replicated":
      if (autoscale !== undefined) {
        return invalid(
          `the service scales itself between ${autoscale.min} and ${autoscale.max} replicas: change x-berth.autoscale in its Compose file instead`,
        );
      }
      return value({ ...spec, mode: { $case: "replicated", value: { replicas } } });
    case "replicatedJob": {
      const mode = { ...spec.mode.value, totalCompletions: replicas };
      return value({ ...spec, mode: { $case: "replicatedJob", value: mode } });
    }
    default:
      return invalid("the service runs once on each node: it has no replicas");
  }
}

function withMaxConcurrent(spec: ServiceSpec, maxConcurrent: number): Parsed<ServiceSpec> {
  if (spec.mode?.$case !== "replicatedJob") return invalid("the service is not a replicated job");
  return value({ ...spec, mode: { $case: "replicatedJob", value: { ...spec.mode.value, maxConcurrent } } });
}

/** Spaces in a constraint mean nothing. */
function isSame(text: string): (other: string) => boolean {
  const bare = (constraint: string): string => constraint.replaceAll(/\s+/g, "");
  return (other) => bare(other) === bare(text);
}

function spreadAttribute(text: string): Parsed<string> {
  const [, attribute] = /^spread=(\S+)$/.exec(text.trim()) ?? [];
  return attribute === undefined
    ? invalid(`${JSON.stringify(text)} is not a preference: write it like spread=node.labels.zone`)
    : value(attribute);
}
