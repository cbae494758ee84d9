import { type FileContent, FileVersion } from "@berth/proto";

/** Encrypts the contents of secrets and configs for the store. */
export interface FileSealer {
  seal(file: Pick<FileVersion, "id" | "kind" | "name">, content: Uint8Array): Buffer;
  /** @throws BerthError BERTH_IDENTITY_INVALID for another cluster key or a damaged record */
  open(file: FileVersion): Buffer;
  /** Returns a keyed hash of the content, which only servers can compute. */
  mac(file: Pick<FileVersion, "kind" | "name">, content: Uint8Array): Buffer;
  /** Returns whether a version has this content. During a rotation, the hash may be based on the earlier cluster key. */
  hasContent(file: FileVersion, content: Uint8Array): boolean;
}

/** The result of storing the content of a secret or config. */
export type FileApplied =
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
  content: FileContent,
  { id, stack, nowMs, sealer }: ApplyFileContext,
): FileApplied {
  const { kind, name, labels, isTemplate } = content;
  if (newest !== undefined && !newest.removing && newest.isTemplate === isTemplate) {
    if (sealer.hasContent(newest, content.content)) {
      if (haveSameLabels(newest.labels, labels)) return { kind: "unchanged", file: newest };
      return { kind: "relabeled", file: { ...newest, labels } };
    }
  }
  const file = FileVersion.fromPartial({
    id,
    kind,
    name,
    stack,
    labels,
    isTemplate,
    contentMac: sealer.mac(content, content.content),
    version: (newest?.version ?? 0) + 1,
    createdAtMs: nowMs,
    sizeBytes: content.content.length,
    sealedContent: sealer.seal({ id, kind, name }, content.content),
  });
  return { kind: newest === undefined || newest.removing ? "created" : "updated", file };
}

function haveSameLabels(a: FileVersion["labels"], b: FileVersion["labels"]): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
