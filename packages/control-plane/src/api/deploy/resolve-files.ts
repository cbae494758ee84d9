import type { FileVersion } from "@berth/proto";
import { fileKey } from "../../core/files/file-mounts.js";
import { resolveFileVersions, type VersionChoice } from "../../core/files/resolve-file-versions.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ServiceTarget } from "./decide-deployment.js";
import { type ServiceViolation, violationsError } from "./violations.js";

export interface FileResolution {
  readonly state: ClusterState;
  /** The newest versions of the secrets and configs that the same change stores, by `fileKey`. @default none */
  readonly declared?: ReadonlyMap<string, FileVersion>;
  readonly choiceFor: (target: ServiceTarget) => VersionChoice;
  /** What failed, for the error message. */
  readonly intro: string;
}

/**
 * Sets the version of each secret and config that the services mount.
 * @throws BerthError BERTH_SPEC_INVALID with every secret and config that does not exist
 */
export function resolveFiles(
  targets: readonly ServiceTarget[],
  { state, declared, choiceFor, intro }: FileResolution,
): readonly ServiceTarget[] {
  const violations: ServiceViolation[] = [];
  const resolved = targets.map((target) => {
    const result = resolveFileVersions(target.spec, choiceFor(target), {
      get: (fileId) => state.files.get(fileId),
      newest: ({ kind, name }) => state.files.newest(kind, name),
      declared: (file) => declared?.get(fileKey(file)),
    });
    violations.push(...result.violations.map((found) => ({ service: target.spec.name, ...found })));
    return { id: target.id, spec: result.spec };
  });
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", intro, violations);
  return resolved;
}
