import {
  environmentValueProblem,
  type FileMount,
  type FileVersion,
  type ServiceSpec,
  type Violation,
} from "@berth/proto";
import type { FileSealer } from "../../core/files/apply-file.js";
import { describeFile, fileKey, fileMounts } from "../../core/files/file-mounts.js";
import { resolveFileVersions, type VersionChoice } from "../../core/files/resolve-file-versions.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ServiceTarget } from "./decide-deployment.js";
import { type ServiceViolation, violationsError } from "./violations.js";

export interface ResolveFilesOptions {
  readonly state: ClusterState;
  /** The newest versions of the secrets and configs that the same change stores, by `fileKey`. Default: none. */
  readonly declared?: ReadonlyMap<string, FileVersion>;
  readonly choiceFor: (target: ServiceTarget) => VersionChoice;
  /** Encrypts secrets and configs. Undefined if the server has no cluster key and thus no secrets. */
  readonly sealer: FileSealer | undefined;
  /** First part of the error message, which says what failed. */
  readonly errorPrefix: string;
}

/**
 * Sets the version of each secret and config that the services mount.
 *
 * @throws BerthError BERTH_SPEC_INVALID with all secrets and configs that do not exist, and all secrets that cannot be
 *   environment variables
 */
export function resolveFiles(
  targets: readonly ServiceTarget[],
  { state, declared, choiceFor, sealer, errorPrefix }: ResolveFilesOptions,
): readonly ServiceTarget[] {
  const violations: ServiceViolation[] = [];
  const resolved = targets.map((target) => {
    const result = resolveFileVersions(target.spec, choiceFor(target), {
      get: (fileId) => state.files.get(fileId),
      newest: ({ kind, name }) => state.files.newest(kind, name),
      declared: (file) => declared?.get(fileKey(file)),
    });
    const getVersion = (mount: FileMount): FileVersion | undefined =>
      declared?.get(fileKey(mount)) ?? state.files.get(mount.versionId);
    const allViolations = [...result.violations, ...environmentViolations(result.spec, getVersion, sealer)];
    violations.push(...allViolations.map((violation) => ({ service: target.spec.name, ...violation })));
    return { id: target.id, spec: result.spec };
  });
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", errorPrefix, violations);
  return resolved;
}

/** Returns the secrets whose contents cannot be values of environment variables. */
export function environmentViolations(
  spec: ServiceSpec,
  getVersion: (mount: FileMount) => FileVersion | undefined,
  sealer: FileSealer | undefined,
): readonly Violation[] {
  return fileMounts(spec).flatMap((mount, index) => {
    const version = mount.env === "" ? undefined : getVersion(mount);
    const problem = version && sealer && environmentValueProblem(sealer.open(version));
    if (problem === undefined) return [];
    return [{ path: `task.container.files[${index}]`, message: `${describeFile(mount)}: ${problem}` }];
  });
}
