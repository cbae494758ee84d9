// Temporary directories that are named after their process. The next process removes the directories of ended
// processes.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/**
 * Creates a directory named after this process. Removes the directories of ended processes first.
 *
 * @param {string} parent created if it does not exist
 * @param {string} prefix prefix of the directories' names. No other files may use it.
 */
export function ownedDirectory(parent, prefix) {
  mkdirSync(parent, { recursive: true });
  removeOrphanedDirectories(parent, prefix);
  return mkdtempSync(join(parent, `${prefix}${process.pid}-`));
}

/**
 * Removes the directories of processes that have ended.
 *
 * @param {string} parent as for {@link ownedDirectory}
 * @param {string} prefix as for {@link ownedDirectory}
 */
export function removeOrphanedDirectories(parent, prefix) {
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
