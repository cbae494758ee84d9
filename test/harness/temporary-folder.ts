import { tmpdir } from "node:os";
import { ownedFolder } from "../../deploy/setup/owned-folder.mjs";

/**
 * A new folder of this test process: whichever test comes next removes the folders of test processes that were killed.
 * An ingress process that one of them left behind ends when its folder is gone.
 */
export function temporaryFolder(): string {
  return ownedFolder(tmpdir(), "berth-test-of-");
}
