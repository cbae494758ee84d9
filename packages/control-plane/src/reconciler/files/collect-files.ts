import { type FileVersion, fileKindName, isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { mountsVersion } from "../../core/files/file-mounts.js";
import { unusedVersions } from "../../core/files/file-retention.js";
import { isEnded } from "../../core/model/task-state.js";
import { untilAborted } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { currentSpec } from "../../state/service-snapshot.js";
import type { Decision, Writer } from "../writer.js";

/** Delay of the check after a change. A check visits all secrets and configs with several versions. */
const CHECK_DELAY_MS = 500;

/** Pause after a failed check. */
const RETRY_MS = 5_000;

export interface FileCollectionOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** Deletes the versions of secrets and configs that are no longer needed, until `signal` is aborted. */
export async function collectUnusedFiles(options: FileCollectionOptions, signal: AbortSignal): Promise<void> {
  const { state, writer, runtime, logger } = options;
  let cancelCheck: (() => void) | undefined;
  const scheduleCheck = (delayMs = CHECK_DELAY_MS): void => {
    if (signal.aborted || !state.files.hasCollectable) return;
    cancelCheck ??= runtime.clock.after(delayMs, deleteIfUnused);
  };
  const deleteIfUnused = (): void => {
    cancelCheck = undefined;
    if (findUnused(state).length === 0) return;
    writer.submit(deleteUnused, signal).then(
      (files) => {
        for (const { kind, name, version } of files) {
          logger.info({ kind: fileKindName(kind), name, version }, "unused version deleted");
        }
      },
      (error: unknown) => {
        if (signal.aborted) return;
        logger[isBerthError(error) ? "warn" : "error"]({ err: error }, "failed to delete unused versions");
        scheduleCheck(RETRY_MS);
      },
    );
  };
  const unsubscribe = state.onChange(({ services, areFilesChanged }) => {
    if (services.size > 0 || areFilesChanged) scheduleCheck();
  });
  scheduleCheck();
  await untilAborted(signal);
  unsubscribe();
  cancelCheck?.();
}

function deleteUnused(state: ClusterState): Decision<readonly FileVersion[]> {
  const unused = findUnused(state);
  return { changes: unused.map(({ id }) => ({ kind: "delete-file", fileId: id })), result: unused };
}

function findUnused(state: ClusterState): readonly FileVersion[] {
  const references = {
    isInUse: (file: FileVersion) => isInUse(file, state),
    isKept: (file: FileVersion) => state.services.versions.withFile(file.id).size > 0,
  };
  return [...state.files.collectable()].flatMap((versions) => unusedVersions(versions, references));
}

/** Returns whether the current spec of a service or an unfinished task uses the version. */
function isInUse(file: FileVersion, state: ClusterState): boolean {
  for (const service of state.services.ofFile(file).values()) {
    if (!service.removing && mountsVersion(currentSpec(state, service), file.id)) return true;
  }
  for (const { serviceId, version } of state.services.versions.withFile(file.id).values()) {
    for (const task of state.tasks.ofService(serviceId).values()) {
      if (task.specVersion === version && !isEnded(task)) return true;
    }
  }
  return false;
}
