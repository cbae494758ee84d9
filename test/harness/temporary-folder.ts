import { tmpdir } from "node:os";
import { ownedFolder, removeOrphanedFolders } from "../../deploy/setup/owned-folder.mjs";

const PREFIX = "berth-test-of-";

/**
 * Creates a folder for this test process. Removes the folders of test processes that were killed. A leftover ingress
 * process exits when its folder is gone.
 */
export function temporaryFolder(): string {
  return ownedFolder(tmpdir(), PREFIX);
}

/** Removes the folders of test processes that have ended. */
export function removeLeftoverFolders(): void {
  removeOrphanedFolders(tmpdir(), PREFIX);
}
