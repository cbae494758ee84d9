import { access, constants, readdir } from "node:fs/promises";
import { join } from "node:path";
import { diskError } from "@berth/proto";
import { readState } from "../../agent/state-file.js";
import { DAMAGED_SUFFIX, openStateDirectory } from "../../runtime/state-directory.js";
import { type Check, type Finding, failed, ok, skipped, warning } from "../check.js";

const SUBJECT = "agent state";

/** Checks that the agent can read and write its files, and looks for damaged ones. */
export const checkStateFile: Check = async ({ dataDir }) => {
  try {
    const names = await readdir(dataDir);
    await access(dataDir, constants.W_OK);
    const { damage } = await readState(openStateDirectory(dataDir));
    const findings = [...names.filter(isDamaged).map((name) => reportKept(join(dataDir, name)))];
    if (damage !== "") return [...findings, reportDamage(damage)];
    return findings.length > 0 ? findings : [ok(SUBJECT, `${dataDir} is readable and writable`)];
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return [skipped(SUBJECT, `${dataDir} does not exist: no agent has run here`)];
    }
    const problem = diskError(error, dataDir);
    if (problem === undefined) throw error;
    return [
      failed(SUBJECT, problem.message, "The agent continues, but loses its latest state if it restarts."),
    ];
  }
};

function isDamaged(name: string): boolean {
  return name.endsWith(DAMAGED_SUFFIX);
}

function reportKept(path: string): Finding {
  return warning(
    SUBJECT,
    `${path} is a damaged file that the agent has replaced`,
    "Check the disk for errors, and delete the file.",
  );
}

function reportDamage(damage: string): Finding {
  return warning(
    SUBJECT,
    `the state file is damaged: ${damage}`,
    "Start the agent: it renames the file, and restores its state from Docker and the leader.",
  );
}
