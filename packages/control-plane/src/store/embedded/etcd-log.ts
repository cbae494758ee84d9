import type { Logger } from "pino";

/** Warnings that etcd always logs with berth's configuration. */
const EXPECTED_WARNINGS = [
  /simple token is not cryptographically signed/,
  // The claim of the data directory.
  /found invalid file under data directory/,
];

/**
 * Pattern of the lines that etcd logs before it sets up JSON logging, and of the first line of a Go panic. Stack traces
 * do not match.
 */
const PLAIN_TEXT = /^(?:panic:|fatal error:)|^\S+ \S+ [WEC] \| /;

/** Logs one line of an embedded etcd's log. Returns its short text; undefined for an expected line or one without a message. */
export function logEtcdLine(line: string, logger: Logger): string | undefined {
  const parsed = parseLine(line);
  if (parsed === undefined || EXPECTED_WARNINGS.some((pattern) => pattern.test(parsed.msg))) return undefined;
  const { level, msg, fields } = parsed;
  const { ts: _time, caller: _caller, stacktrace: _trace, ...etcd } = fields;
  if (level === "warn") {
    logger.warn({ etcd }, `etcd: ${msg}`);
  } else {
    logger.error({ etcd }, `etcd: ${msg}`);
  }
  return typeof etcd.error === "string" ? `${msg}: ${etcd.error}` : msg;
}

interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function parseLine(line: string): LogLine | undefined {
  try {
    const { level, msg, ...fields } = JSON.parse(line);
    if (typeof level === "string" && typeof msg === "string") return { level, msg, fields };
  } catch {
    // The line is not JSON, but may be plain text.
  }
  if (!PLAIN_TEXT.test(line)) return undefined;
  return { level: line.includes(" W | ") ? "warn" : "error", msg: line, fields: {} };
}
