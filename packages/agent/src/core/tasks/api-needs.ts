import type { AssignedSpec, ContainerSpec } from "@berth/proto";

/** A part of a spec that older daemons would drop in silence, and the API version that has it. */
interface ApiNeed {
  readonly what: string;
  readonly since: string;
  readonly isUsed: (container: ContainerSpec) => boolean;
}

const API_NEEDS: readonly ApiNeed[] = [
  {
    what: "annotations",
    since: "1.43",
    isUsed: (container) => Object.keys(container.annotations).length > 0,
  },
  {
    what: "healthcheck.start_interval",
    since: "1.44",
    isUsed: (container) => (container.healthcheck?.startIntervalMs ?? 0) > 0,
  },
];

/** Why this node's Docker cannot run the spec as it is written; undefined when it can. */
export function unsupportedReason(spec: AssignedSpec, apiVersion: string): string | undefined {
  if (spec.task === undefined) {
    return `the stored version ${spec.version} of the service cannot be read: deploy it again`;
  }
  const { container } = spec.task;
  if (container === undefined) return "the service's spec names no container";
  const missing = API_NEEDS.filter(
    (need) => need.isUsed(container) && compareVersions(apiVersion, need.since) < 0,
  );
  if (missing.length === 0) return undefined;
  const needs = missing.map((need) => `${need.what} needs Docker API ${need.since}`).join(", ");
  return `${needs}; this node's Docker speaks ${apiVersion}`;
}

/** Negative when `left` is the older one of two versions such as "1.41" and "1.9". */
export function compareVersions(left: string, right: string): number {
  const [leftMajor = 0, leftMinor = 0] = left.split(".").map(Number);
  const [rightMajor = 0, rightMinor = 0] = right.split(".").map(Number);
  return leftMajor - rightMajor || leftMinor - rightMinor;
}
