import { type FileContent, FileVersion } from "@berth/proto";

/** Encrypts the contents of secrets and configs for the store. */
export interface FileSealer {
  seal(file: Pick<FileVersion, "id" | "kind" | "name">, content: Uint8Array): Buffer;
  /** @throws BerthError BERTH_IDENTITY_INVALID if the record is damaged or was sealed with another cluster key */
  open(file: FileVersion): Buffer;
  /** Returns a keyed hash of the content, which only servers can compute. */
  mac(file: Pick<FileVersion, "kind" | "name">, content: Uint8Array): Buffer;
  /** Returns whether a version has this content. During a rotation, the hash may be based on the earlier cluster key. */
  hasContent(file: FileVersion, content: Uint8Array): boolean;
}

/** The result of storing the content of a secret or config. */
export type ApplyFileResult =
  | { readonly kind: "created" | "updated"; readonly file: FileVersion }
  /** A change of the labels, which are not part of a version. */
  | { readonly kind: "relabeled"; readonly file: FileVersion }
  | { readonly kind: "unchanged"; readonly file: FileVersion };

export interface ApplyFileContext {
  /** ID of a new version. */
  readonly id: string;
  /** Stack of a new secret or config. */
  readonly stack: string;
  readonly nowMs: number;
  readonly sealer: FileSealer;
}

/** Stores content as a new version, unless the newest version of the secret or config has the same content. */
export function applyFile(
  newest: FileVersion | undefined,
  input: FileContent,
  { id, stack, nowMs, sealer }: ApplyFileContext,
): ApplyFileResult {
  const { kind, name, labels, isTemplate, content } = input;
  const isSameVersion =
    newest !== undefined &&
    !newest.removing &&
    newest.isTemplate === isTemplate &&
    sealer.hasContent(newest, content);
  if (isSameVersion) {
    return haveSameLabels(newest.labels, labels)
      ? { kind: "unchanged", file: newest }
      : { kind: "relabeled", file: { ...newest, labels } };
  }
  const file = FileVersion.fromPartial({
    id,
    kind,
    name,
    stack,
    labels,
    isTemplate,
    contentMac: sealer.mac(input, content),
    version: (newest?.version ?? 0) + 1,
    createdAtMs: nowMs,
    sizeBytes: content.length,
    sealedContent: sealer.seal({ id, kind, name }, content),
  });
  return { kind: newest === undefined || newest.removing ? "created" : "updated", file };
}

function haveSameLabels(a: FileVersion["labels"], b: FileVersion["labels"]): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
