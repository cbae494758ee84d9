import { fstatSync } from "node:fs";

/** Priorities of syslog(3) for the levels of pino, in ascending order. */
const PRIORITIES: readonly (readonly [level: number, priority: number])[] = [
  [20, 7],
  [30, 6],
  [40, 4],
  [50, 3],
  [60, 2],
];
const LOWEST_PRIORITY = 7;
/** Log fields that the journal stores itself. */
const JOURNAL_FIELDS: ReadonlySet<string> = new Set(["level", "time", "msg", "name", "pid", "hostname"]);

/** Returns whether a file descriptor of this process is connected to systemd's journal. */
export function isJournal(fd: number, env: Readonly<NodeJS.ProcessEnv>): boolean {
  const { JOURNAL_STREAM: stream = "" } = env;
  if (stream === "") return false;
  const { dev, ino } = fstatSync(fd);
  return stream === `${dev}:${ino}`;
}

/**
 * Formats a line of JSON as the journal reads it from a stream: `<PRIORITY>message field="value"`. The journal adds time,
 * host and process.
 */
export function formatJournalLine(line: string): string {
  const record: Readonly<Record<string, unknown>> = JSON.parse(line);
  const fields = Object.entries(record)
    .filter(([name]) => !JOURNAL_FIELDS.has(name))
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  // A newline would end the entry.
  const message = String(record.msg ?? "").replaceAll("\n", " ");
  return `<${priorityOf(Number(record.level))}>${[message, ...fields].join(" ")}\n`;
}

function priorityOf(level: number): number {
  return PRIORITIES.findLast(([least]) => level >= least)?.[1] ?? LOWEST_PRIORITY;
}
