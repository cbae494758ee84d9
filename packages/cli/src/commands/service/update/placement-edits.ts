import { assertNever, type ServiceSpec } from "@berth/proto";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { type Edit, edit, inPlacement } from "./edit.js";
import { parseCount, parseNonEmptyText, removeMatching, replaceMatching } from "./parse-flag-values.js";

/** Flags that change how many tasks a service has and on which nodes they run. */
export const PLACEMENT_EDITS = {
  replicas: (spec, text) => editCount(spec, text, withReplicas),
  "max-concurrent": (spec, text) => editCount(spec, text, withMaxConcurrent),
  "replicas-max-per-node": edit(
    parseCount,
    inPlacement((_, maxReplicasPerNode) => ({ maxReplicasPerNode })),
  ),
  "constraint-rm": edit(
    parseNonEmptyText,
    inPlacement(({ constraints }, text) => ({
      constraints: removeMatching(constraints, isSameConstraint(text)),
    })),
  ),
  "constraint-add": edit(
    parseNonEmptyText,
    inPlacement(({ constraints }, text) => ({
      constraints: replaceMatching(constraints, isSameConstraint(text), text),
    })),
  ),
  "placement-pref-rm": edit(
    parsePreference,
    inPlacement(({ spread }, attribute) => ({
      spread: removeMatching(spread, (other) => other === attribute),
    })),
  ),
  "placement-pref-add": edit(
    parsePreference,
    inPlacement(({ spread }, attribute) => ({
      spread: replaceMatching(spread, (other) => other === attribute, attribute),
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;

function editCount(
  spec: ServiceSpec,
  text: string,
  change: (spec: ServiceSpec, count: number) => Parsed<ServiceSpec>,
): Parsed<ServiceSpec> {
  const parsed = parseCount(text);
  return parsed.kind === "invalid" ? parsed : change(spec, parsed.value);
}

function withReplicas(spec: ServiceSpec, replicas: number): Parsed<ServiceSpec> {
  const { autoscale, mode } = spec;
  switch (mode?.$case) {
    case "replicated":
      if (autoscale !== undefined) {
        return invalid(
          `the service is autoscaled between ${autoscale.min} and ${autoscale.max} replicas; change x-berth.autoscale in its Compose file instead`,
        );
      }
      return valid({ ...spec, mode: { $case: "replicated", value: { replicas } } });
    case "replicatedJob":
      return valid({
        ...spec,
        mode: { $case: "replicatedJob", value: { ...mode.value, totalCompletions: replicas } },
      });
    case "global":
    case "globalJob":
    case undefined:
      return invalid("the service runs one task per node and has no replicas");
    default:
      return assertNever(mode);
  }
}

function withMaxConcurrent(spec: ServiceSpec, maxConcurrent: number): Parsed<ServiceSpec> {
  if (spec.mode?.$case !== "replicatedJob") return invalid("the service is not a replicated job");
  return valid({ ...spec, mode: { $case: "replicatedJob", value: { ...spec.mode.value, maxConcurrent } } });
}

/** Compares constraints without their spaces. */
function isSameConstraint(text: string): (other: string) => boolean {
  const compact = (constraint: string): string => constraint.replaceAll(/\s+/g, "");
  return (other) => compact(other) === compact(text);
}

function parsePreference(text: string): Parsed<string> {
  const [, attribute] = /^spread=(\S+)$/.exec(text.trim()) ?? [];
  return attribute === undefined
    ? invalid(`${JSON.stringify(text)} is not a placement preference; use the form spread=node.labels.zone`)
    : valid(attribute);
}
