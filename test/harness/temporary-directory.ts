import { tmpdir } from "node:os";
import { ownedDirectory, removeOrphanedDirectories } from "../../deploy/setup/owned-directory.mjs";

const PREFIX = "berth-test-of-";

/**
 * Creates a directory for this test process. Removes the directories of test processes that were killed; a leftover
 * ingress process exits once its directory is gone.
 */
export function temporaryDirectory(): string {
  return ownedDirectory(tmpdir(), PREFIX);
}

/** Removes the directories of test processes that have exited. */
export function removeLeftoverDirectories(): void {
  removeOrphanedDirectories(tmpdir(), PREFIX);
}
