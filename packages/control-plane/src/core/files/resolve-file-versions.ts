import {
  type FileMount,
  type FileVersion,
  fileKindName,
  type ServiceSpec,
  type Violation,
} from "@berth/proto";
import { describeFile, fileMounts, withFileVersions } from "./file-mounts.js";

/** Selection of the secret and config versions in a new spec. */
export type VersionChoice =
  /** Keeps the versions of the current spec. Other secrets and configs get the newest version. */
  | { readonly kind: "keep"; readonly current: ServiceSpec | undefined }
  | { readonly kind: "newest" }
  /** Restores the versions of an earlier spec of the service. */
  | { readonly kind: "restore" };

export interface FileLookup {
  /** Returns a version by its ID. */
  readonly get: (fileId: string) => FileVersion | undefined;
  /** Returns the newest version of a secret or config. */
  readonly newest: (file: Pick<FileVersion, "kind" | "name">) => FileVersion | undefined;
  /** Returns the version that the same change declares. It takes precedence over the choice. Default: none. */
  readonly declared?: (file: Pick<FileVersion, "kind" | "name">) => FileVersion | undefined;
}

export interface ResolvedFiles {
  readonly spec: ServiceSpec;
  /** Secrets and configs that do not exist. */
  readonly violations: readonly Violation[];
}

/**
 * Sets the version of each secret and config in a spec. A change that does not concern a secret or config keeps its
 * version, so that it restarts no task: only new content and a forced update move to a newer version.
 */
export function resolveFileVersions(
  spec: ServiceSpec,
  choice: VersionChoice,
  files: FileLookup,
): ResolvedFiles {
  const violations: Violation[] = [];
  const resolved = withFileVersions(spec, (mount, index) => {
    const version = chooseVersion(mount, choice, files);
    if (typeof version !== "string") return version.id;
    violations.push({ path: `task.container.files[${index}]`, message: version });
    return "";
  });
  return { spec: resolved, violations };
}

/** Returns the chosen version, or why there is none. */
function chooseVersion(mount: FileMount, choice: VersionChoice, files: FileLookup): FileVersion | string {
  const file = describeFile(mount);
  const declared = files.declared?.(mount);
  if (declared !== undefined) return declared;
  if (choice.kind === "restore") {
    return (
      findVersion(mount, files) ??
      `the content of ${file} that this version used no longer exists: ${file} was removed since then`
    );
  }
  const keptVersion = choice.kind === "keep" ? findKept(mount, choice.current, files) : undefined;
  if (keptVersion !== undefined) return keptVersion;
  const newest = files.newest(mount);
  if (newest === undefined) {
    return `no such ${file}; create it with berth ${fileKindName(mount.kind)} create ${mount.name}`;
  }
  return newest.removing ? `${file} is being removed` : newest;
}

function findKept(
  mount: FileMount,
  current: ServiceSpec | undefined,
  files: FileLookup,
): FileVersion | undefined {
  const currentMount = fileMounts(current).find(
    ({ kind, name }) => kind === mount.kind && name === mount.name,
  );
  return currentMount && findVersion(currentMount, files);
}

/** Returns the version with the ID in `mount`, if it belongs to this secret or config. */
function findVersion({ versionId, kind, name }: FileMount, files: FileLookup): FileVersion | undefined {
  const version = files.get(versionId);
  return version?.kind === kind && version.name === name ? version : undefined;
}
