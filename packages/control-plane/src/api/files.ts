import {
  BerthError,
  FileContent,
  FileKind,
  type FileMount,
  type FileUse,
  type FileVersion,
  fileKindName,
  type GetFileRequest,
  type GetFileResponse,
  FileOutcome_Kind as Kind,
  type ListFilesRequest,
  type ListFilesResponse,
  type PutFileRequest,
  type PutFileResponse,
  type RemoveFilesRequest,
  type RemoveFilesResponse,
  type Service,
  ServiceOutcome_Kind as ServiceKind,
  stackNameProblem,
} from "@berth/proto";
import type { Caller } from "@berth/proto/rpc";
import type { FileSealer } from "../core/files/apply-file.js";
import { describeFile, fileMounts, withFileVersions } from "../core/files/file-mounts.js";
import { isEnded } from "../core/model/task-state.js";
import type { ClusterState } from "../state/cluster-state.js";
import { currentSpec } from "../state/service-snapshot.js";
import type { ApiContext } from "./api-context.js";
import { decideFileRemoval, decideFiles, requireSealer } from "./deploy/decide-files.js";
import { decideSpec, type ServiceDecision } from "./deploy/decide-spec.js";
import { requirePermitted } from "./deploy/require-permitted.js";
import { environmentViolations } from "./deploy/resolve-files.js";
import { violationsError } from "./deploy/violations.js";
import { mayChangeStack } from "./identities/stack-access.js";

/** Lists secrets, configs, or both, sorted by name. */
export function listFiles({ kind, stack }: ListFilesRequest, { state }: ApiContext): ListFilesResponse {
  const files = [...(stack === "" ? state.files.newestOfAll() : state.files.ofStack(stack).values())];
  return {
    files: files
      .filter((file) => kind === FileKind.UNSPECIFIED || file.kind === kind)
      .sort(byNameAndKind)
      .map(withoutContent),
  };
}

function byNameAndKind(a: FileVersion, b: FileVersion): number {
  if (a.name === b.name) return a.kind - b.kind;
  return a.name < b.name ? -1 : 1;
}

/**
 * Returns one secret or config, with the content of a config.
 *
 * @throws BerthError BERTH_NOT_FOUND if it does not exist; BERTH_INPUT_INVALID if the kind is unspecified
 */
export function getFile({ kind, name }: GetFileRequest, { state, sealer }: ApiContext): GetFileResponse {
  const newest = findFile(state, kind, name);
  return {
    versions: state.files.versionsOf(kind, name).map(withoutContent),
    uses: usesOf(newest, state),
    content: kind === FileKind.CONFIG ? requireSealer(sealer).open(newest) : Buffer.alloc(0),
  };
}

/**
 * Stores the content of a secret or config, and updates the services that use it if the caller may change them.
 *
 * @throws BerthError BERTH_SPEC_INVALID with every violation; BERTH_CONFLICT when it exists with another content and
 *   the request is to create it; BERTH_NOT_FOUND when it does not exist and the request is to update it;
 *   BERTH_POLICY_DENIED
 */
export async function putFile(
  { file = FileContent.fromPartial({}), createOnly, updateOnly }: PutFileRequest,
  { writer, runtime, sealer }: ApiContext,
  caller: Caller,
  signal: AbortSignal,
): Promise<PutFileResponse> {
  return writer.submit((state) => {
    const nowMs = runtime.wallClockMs();
    const subject = describeFile(file);
    const errorPrefix = `${subject} was not stored`;
    const newest = state.files.newest(file.kind, file.name);
    const existing = newest?.removing ? undefined : newest;
    const content = { ...file, stack: file.stack || (existing?.stack ?? "") };
    const { changes, outcomes, violations, byKey } = decideFiles([content], {
      state,
      sealer,
      nowMs,
      newId: () => runtime.newId(),
    });
    const stackProblem = content.stack === "" ? undefined : stackNameProblem(content.stack);
    const problems = violations.map((violation) => ({ ...violation, service: "" }));
    if (stackProblem !== undefined) problems.push({ service: "", path: "stack", message: stackProblem });
    if (problems.length > 0) throw violationsError("BERTH_SPEC_INVALID", errorPrefix, problems);
    const [outcome] = outcomes;
    const [stored] = byKey.values();
    if (outcome === undefined || stored === undefined) throw new Error(`${subject} has no outcome`);
    if (updateOnly && existing === undefined) throw fileNotFoundError(file.kind, file.name);
    // A repeated call succeeds, because clients retry calls whose response was lost.
    if (createOnly && outcome.kind === Kind.UPDATED) throw fileExistsError(subject);
    // Even if the content is unchanged, because an earlier call may have been interrupted after it stored the content.
    const usingServices = [...state.services.ofFile(stored).values()].filter(
      ({ spec, removing }) => !removing && mayChangeStack(caller, spec?.stack ?? "", state),
    );
    const updated = updateServices(usingServices, stored, { state, sealer, nowMs, errorPrefix }).filter(
      (decision) => decision.outcome.kind !== ServiceKind.UNCHANGED,
    );
    return {
      changes: [...changes, ...updated.flatMap((decision) => decision.changes)],
      result: { outcome, services: updated.map((decision) => decision.outcome) },
    };
  }, signal);
}

/**
 * Removes the given secrets or configs, or none if one of them cannot be removed.
 *
 * @throws BerthError BERTH_FILE_IN_USE with the services that use them; BERTH_NOT_FOUND if one does not exist;
 *   BERTH_INPUT_INVALID if the kind is unspecified
 */
export async function removeFiles(
  { kind, names }: RemoveFilesRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveFilesResponse> {
  const outcomes = await writer.submit((state) => {
    const files = [...new Set(names)].map((name) => findFile(state, kind, name));
    requireUnused(files, state);
    const decision = decideFileRemoval(files);
    return { changes: decision.changes, result: decision.outcomes };
  }, signal);
  return { files: [...outcomes] };
}

/**
 * Returns the newest version.
 *
 * @throws BerthError BERTH_NOT_FOUND if the file does not exist; BERTH_INPUT_INVALID if the kind is unspecified
 */
function findFile(state: ClusterState, kind: FileKind, name: string): FileVersion {
  if (kind !== FileKind.SECRET && kind !== FileKind.CONFIG) {
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: "specify a kind: secret or config" });
  }
  const newest = state.files.newest(kind, name);
  if (newest === undefined) throw fileNotFoundError(kind, name);
  return newest;
}

function fileNotFoundError(kind: FileKind, name: string): BerthError {
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `no such ${fileKindName(kind)}: ${JSON.stringify(name.slice(0, 128))}`,
  });
}

function fileExistsError(subject: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `${subject} was not created: it exists with different content; update it, or choose another name`,
  });
}

/** @throws BerthError BERTH_FILE_IN_USE unless all services that use the files are being removed */
function requireUnused(files: readonly FileVersion[], state: ClusterState): void {
  const inUse = files.flatMap((file) => {
    const usingServices = [...state.services.ofFile(file).values()].filter(({ removing }) => !removing);
    const names = usingServices.map(serviceName).sort();
    return names.length === 0 ? [] : [`${file.name} (${names.join(", ")})`];
  });
  const [first] = files;
  if (inUse.length === 0 || first === undefined) return;
  throw new BerthError({
    code: "BERTH_FILE_IN_USE",
    message: `no ${fileKindName(first.kind)} was removed: services still use ${inUse.join("; ")}; remove these services or their stacks first`,
  });
}

interface UpdateContext {
  readonly state: ClusterState;
  readonly sealer: FileSealer | undefined;
  readonly nowMs: number;
  /** First part of the error message, which says what failed. */
  readonly errorPrefix: string;
}

/** @throws BerthError BERTH_SPEC_INVALID if a service uses a secret as an environment variable that cannot be one */
function updateServices(
  services: readonly Service[],
  file: FileVersion,
  { state, sealer, nowMs, errorPrefix }: UpdateContext,
): readonly ServiceDecision[] {
  const targets = services.flatMap((service) => {
    const spec = currentSpec(state, service);
    if (spec === undefined) return [];
    const updated = withFileVersions(spec, ({ kind, name, versionId }) =>
      kind === file.kind && name === file.name ? file.id : versionId,
    );
    return [{ id: service.id, spec: updated }];
  });
  const violations = targets.flatMap(({ spec }) => {
    const getVersion = ({ versionId }: FileMount): FileVersion | undefined =>
      versionId === file.id ? file : undefined;
    const problems = environmentViolations(spec, getVersion, sealer);
    return problems.map((violation) => ({ service: spec.name, ...violation }));
  });
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", errorPrefix, violations);
  requirePermitted(
    targets.map(({ spec }) => spec),
    state,
    errorPrefix,
  );
  return targets.map(({ id, spec }) => decideSpec(state, spec, { id, nowMs }));
}

/** Returns the services that use a secret or config, sorted by name. */
function usesOf(file: FileVersion, state: ClusterState): FileUse[] {
  return [...state.services.ofFile(file).values()]
    .map((service) => {
      const currentId = versionIdIn(currentSpec(state, service), file);
      return {
        service: serviceName(service),
        version: currentId === undefined ? 0 : (state.files.get(currentId)?.version ?? 0),
        tasksWithOtherVersions: countTasksWithOtherVersions(service, { file, currentId }, state),
      };
    })
    .sort((a, b) => (a.service < b.service ? -1 : 1));
}

interface CurrentVersion {
  readonly file: FileVersion;
  /** ID of the version that the current spec mounts. Undefined if it mounts none. */
  readonly currentId: string | undefined;
}

function countTasksWithOtherVersions(
  { id: serviceId }: Service,
  { file, currentId }: CurrentVersion,
  state: ClusterState,
): number {
  let count = 0;
  for (const task of state.tasks.ofService(serviceId).values()) {
    if (isEnded(task)) continue;
    const versionId = versionIdIn(state.services.versions.specOf(serviceId, task.specVersion), file);
    if (versionId !== undefined && versionId !== currentId) count += 1;
  }
  return count;
}

/** Returns the ID of the version that a spec mounts, or undefined if it does not mount the secret or config. */
function versionIdIn(spec: Service["spec"], file: FileVersion): string | undefined {
  return fileMounts(spec).find(({ kind, name }) => kind === file.kind && name === file.name)?.versionId;
}

/** Removes the fields that must never leave the servers. */
function withoutContent(file: FileVersion): FileVersion {
  return { ...file, sealedContent: Buffer.alloc(0), contentMac: Buffer.alloc(0) };
}

function serviceName({ id, spec }: Service): string {
  return spec?.name ?? id;
}
