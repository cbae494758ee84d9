// Temporary folders that are named after their process. The next process removes the folders of ended processes.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/**
 * Creates a folder named after this process. Removes the folders of ended processes first.
 *
 * @param {string} parent created if it does not exist
 * @param {string} prefix prefix of the folders' names. No other files may use it.
 */
export function ownedFolder(parent, prefix) {
  mkdirSync(parent, { recursive: true });
  removeOrphanedFolders(parent, prefix);
  return mkdtempSync(join(parent, `${prefix}${process.pid}-`));
}

/**
 * Removes the folders of processes that have ended.
 *
 * @param {string} parent as for {@link ownedFolder}
 * @param {string} prefix as for {@link ownedFolder}
 */
export function removeOrphanedFolders(parent, prefix) {
  for (const name of readdirSync(parent)) {
    const [owner = ""] = name.startsWith(prefix) ? name.slice(prefix.length).split("-") : [];
    if (/^\d+$/.test(owner) && !isAlive(Number(owner))) {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
