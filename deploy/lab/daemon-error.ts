import { readFile } from "node:fs/promises";
import { LabError } from "./lab-error.js";

const TAIL_LINES = 10;

/** The error for a daemon that did not live until it was ready, with the end of its log. */
export async function endedWhileStarting(what: string, logFile: string): Promise<LabError> {
  const log = await readFile(logFile, "utf8").catch(() => "(no log)");
  const tail = log.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
  return new LabError("LAB_NOT_READY", `${what} ended while starting; the end of ${logFile}:\n${tail}`);
}
