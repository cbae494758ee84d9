import { formatJournalLine, isJournal } from "@berth/proto/service-manager";
import { type DestinationStream, destination, type Logger, pino } from "pino";

const STDERR_FD = 2;

/** Names of pino's levels, padded to the same width. */
const LEVEL_NAMES: Readonly<Record<number, string>> = {
  20: "debug",
  30: "info ",
  40: "WARN ",
  50: "ERROR",
  60: "FATAL",
};

/**
 * Creates the logger of `berth server`. It writes to stderr: lines of JSON, entries of the journal if stderr is connected
 * to it, or short lines if stderr is a terminal.
 */
export function createLogger(level: string): Logger {
  return pino({ level, base: null }, createDestination());
}

function createDestination(): DestinationStream {
  const stderr = destination(STDERR_FD);
  if (isJournal(STDERR_FD, process.env)) return { write: (line) => stderr.write(formatJournalLine(line)) };
  if (process.stderr.isTTY !== true) return stderr;
  return { write: (line) => process.stderr.write(`${formatForTerminal(line)}\n`) };
}

/** Formats one JSON line as time, level, message and `name=value` fields. */
function formatForTerminal(line: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line);
  const clock = new Date(time).toTimeString().slice(0, 8);
  const details = Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const cause = err === undefined ? [] : [`(${err.message})`];
  return [clock, LEVEL_NAMES[level] ?? level, msg, ...cause, ...details].join(" ");
}
