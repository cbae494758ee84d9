import { type FileMount, type FileVersion, fileKindName, type ServiceSpec } from "@berth/proto";

// In the code, a file is a secret or a config: one mechanism stores and delivers both.

const NO_FILES: readonly FileMount[] = [];

/** Returns the secrets and configs that the containers of a service mount. */
export function fileMounts(spec: ServiceSpec | undefined): readonly FileMount[] {
  return spec?.task?.container?.files ?? NO_FILES;
}

/** Returns a key that identifies a secret or config across its versions. */
export function fileKey({ kind, name }: Pick<FileVersion, "kind" | "name">): string {
  return `${kind}/${name}`;
}

/** Maximum length of a name in messages. Valid names are shorter. */
const MAX_SHOWN_NAME = 130;

/** Formats a secret or config for messages, such as `secret shop_password`. */
export function describeFile({ kind, name }: Pick<FileVersion, "kind" | "name">): string {
  return `${fileKindName(kind)} ${name.slice(0, MAX_SHOWN_NAME)}`;
}

/** Returns whether a spec mounts this version of a secret or config. */
export function mountsVersion(spec: ServiceSpec | undefined, fileId: string): boolean {
  return fileMounts(spec).some(({ versionId }) => versionId === fileId);
}

/** Returns the spec with the version that `versionOf` returns for each secret and config. */
export function withFileVersions(
  spec: ServiceSpec,
  versionOf: (file: FileMount, index: number) => string,
): ServiceSpec {
  const container = spec.task?.container;
  if (spec.task === undefined || container === undefined || container.files.length === 0) return spec;
  const files = container.files.map((file, index) => ({ ...file, versionId: versionOf(file, index) }));
  return { ...spec, task: { ...spec.task, container: { ...container, files } } };
}
