import { formatJournalLine, isJournal } from "@berth/proto/service-manager";
import { destination, type Logger, pino } from "pino";

const STDOUT_FD = 1;

/** Creates the logger of a process. It writes to stdout: lines of JSON, or entries of the journal if it is connected. */
export function createLogger(name: string, level = "info"): Logger {
  const stdout = destination(STDOUT_FD);
  const isJournalOpen = isJournal(STDOUT_FD, process.env);
  return pino(
    { name, level },
    isJournalOpen ? { write: (line) => stdout.write(formatJournalLine(line)) } : stdout,
  );
}
