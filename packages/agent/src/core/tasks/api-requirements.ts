import type { AssignedSpec, ContainerSpec } from "@berth/proto";
import { compareVersions } from "../docker/api-version.js";

/** A part of a spec that daemons with an older API ignore without an error. */
interface ApiRequirement {
  readonly field: string;
  /** The first API version that has the field. */
  readonly since: string;
  readonly isUsed: (container: ContainerSpec) => boolean;
}

const API_REQUIREMENTS: readonly ApiRequirement[] = [
  {
    field: "annotations",
    since: "1.43",
    isUsed: (container) => Object.keys(container.annotations).length > 0,
  },
];

/** Returns why this node's Docker cannot run the spec as written, or undefined when it can. */
export function unsupportedReason(spec: AssignedSpec, apiVersion: string): string | undefined {
  if (spec.task === undefined) {
    return `version ${spec.version} of the service cannot be read from the store: deploy it again`;
  }
  const { container } = spec.task;
  if (container === undefined) return "the service's spec has no container";
  const unmet = API_REQUIREMENTS.filter(
    ({ isUsed, since }) => isUsed(container) && compareVersions(apiVersion, since) < 0,
  );
  if (unmet.length === 0) return undefined;
  const fields = unmet.map(({ field, since }) => `${field} needs Docker API ${since}`).join(", ");
  return `${fields}; this node's Docker has API ${apiVersion}`;
}
