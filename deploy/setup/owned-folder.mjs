// Folders that do not outlive the process that made them: what a killed one has left is removed by the next.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/**
 * A new folder of this process, named after it. Removes those that processes left behind which are gone.
 *
 * @param {string} parent made unless it is there
 * @param {string} prefix what the names of such folders begin with, and nothing else's
 */
export function ownedFolder(parent, prefix) {
  mkdirSync(parent, { recursive: true });
  for (const name of readdirSync(parent)) {
    const [owner = ""] = name.startsWith(prefix) ? name.slice(prefix.length).split("-") : [];
    if (/^\d+$/.test(owner) && !isAlive(Number(owner))) {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
  return mkdtempSync(join(parent, `${prefix}${process.pid}-`));
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
