import {
  BerthError,
  type FileContent,
  type FileOutcome,
  type FileVersion,
  FileOutcome_Kind as Kind,
  validateFileContent,
} from "@berth/proto";
import { applyFile, type FileSealer } from "../../core/files/apply-file.js";
import { describeFile, fileKey } from "../../core/files/file-mounts.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ServiceViolation } from "./violations.js";

/**
 * Maximum total size of all secrets and configs. The leader loads them at the start of its term and keeps them in
 * memory.
 */
const MAX_TOTAL_BYTES = 256 * 1024 * 1024;

const OUTCOME_KINDS = {
  created: Kind.CREATED,
  updated: Kind.UPDATED,
  relabeled: Kind.UPDATED,
  unchanged: Kind.UNCHANGED,
} as const;

export interface FileDecision {
  readonly changes: readonly Change[];
  readonly outcomes: readonly FileOutcome[];
  readonly violations: readonly ServiceViolation[];
  /** The newest versions after the change, by `fileKey`. */
  readonly byKey: ReadonlyMap<string, FileVersion>;
}

export interface FileContext {
  readonly state: ClusterState;
  /** Encrypts secrets and configs. Undefined if the server has no cluster key. */
  readonly sealer: FileSealer | undefined;
  readonly nowMs: number;
  readonly newId: () => string;
}

/**
 * Returns the changes that store secrets and configs.
 *
 * @throws BerthError BERTH_UNSUPPORTED without a cluster key; BERTH_LIMIT_EXCEEDED when the cluster has too many
 *   contents
 */
export function decideFiles(contents: readonly FileContent[], context: FileContext): FileDecision {
  const { state, nowMs, newId } = context;
  const changes: Change[] = [];
  const outcomes: FileOutcome[] = [];
  const violations: ServiceViolation[] = [];
  const byKey = new Map<string, FileVersion>();
  if (contents.length === 0) return { changes, outcomes, violations, byKey };
  const sealer = requireSealer(context.sealer);
  for (const content of contents) {
    const subject = describeFile(content);
    const newest = state.files.newest(content.kind, content.name);
    const problems = [...validateFileContent(content)];
    if (newest !== undefined && !newest.removing && newest.stack !== content.stack) {
      const owner = newest.stack === "" ? "no stack" : `stack ${newest.stack}`;
      problems.push({
        path: "name",
        message: `it belongs to ${owner}; declare it as external, or rename it`,
      });
    }
    if (byKey.has(fileKey(content))) problems.push({ path: "name", message: "duplicate name" });
    violations.push(...problems.map((problem) => ({ service: subject, ...problem })));
    if (problems.length > 0) continue;
    const applied = applyFile(newest, content, { id: newId(), stack: content.stack, nowMs, sealer });
    byKey.set(fileKey(content), applied.file);
    outcomes.push(fileOutcome(applied.file, OUTCOME_KINDS[applied.kind]));
    if (applied.kind !== "unchanged") changes.push({ kind: "put-file", file: applied.file });
  }
  requireSpace(changes, state);
  return { changes, outcomes, violations, byKey };
}

/** Returns the secrets and configs that are removed together with a stack: no service of another stack uses them. */
export function findFilesRemovedWith(stack: string, state: ClusterState): readonly FileVersion[] {
  return [...state.files.ofStack(stack).values()].filter((file) =>
    [...state.services.ofFile(file).values()].every((user) => user.removing || user.spec?.stack === stack),
  );
}

/** Marks secrets and configs for removal. `collectUnusedFiles` deletes them once nothing uses them. */
export function decideFileRemoval(files: Iterable<FileVersion>): Pick<FileDecision, "changes" | "outcomes"> {
  const all = [...files];
  return {
    changes: all
      .filter(({ removing }) => !removing)
      .map((file) => ({ kind: "put-file", file: { ...file, removing: true } })),
    outcomes: all.map((file) => ({ ...fileOutcome(file, Kind.REMOVED), version: 0 })),
  };
}

function fileOutcome({ kind: fileKind, name, version }: FileVersion, kind: Kind): FileOutcome {
  return { fileKind, name, kind, version };
}

/** @throws BerthError BERTH_UNSUPPORTED if this server has no cluster key */
export function requireSealer(sealer: FileSealer | undefined): FileSealer {
  if (sealer !== undefined) return sealer;
  throw new BerthError({
    code: "BERTH_UNSUPPORTED",
    message: "this server cannot store secrets and configs: it has no cluster key to encrypt them",
  });
}

function requireSpace(changes: readonly Change[], { files }: ClusterState): void {
  const addedBytes = changes.reduce(
    (sum, change) => sum + (change.kind === "put-file" ? change.file.sealedContent.length : 0),
    0,
  );
  if (addedBytes === 0 || files.sealedBytes + addedBytes <= MAX_TOTAL_BYTES) return;
  throw new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `the secrets and configs were not stored: the contents of all secrets and configs would exceed ${MAX_TOTAL_BYTES} bytes; remove some`,
  });
}
