import { formatJournalLine, isJournal } from "@berth/proto/service-manager";
import { destination, type Logger, pino } from "pino";

const STDOUT = 1;

/** Creates the logger of a process. It writes to stdout: lines of JSON, or entries of the journal if it is connected. */
export function createLogger(name: string, level = "info"): Logger {
  const stdout = destination(STDOUT);
  const isJournalOpen = isJournal(STDOUT, process.env);
  return pino(
    { name, level },
    isJournalOpen ? { write: (line) => stdout.write(formatJournalLine(line)) } : stdout,
  );
}
