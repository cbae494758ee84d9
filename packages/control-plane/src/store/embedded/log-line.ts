import type { Logger } from "pino";

/** What berth's way of running etcd always makes it warn about, and nobody can act on. */
const EXPECTED = [/simple token is not cryptographically signed/, /serving client traffic insecurely/];

/** Before its JSON log is set up, etcd warns in the old format; and Go's last cry has none. The trace that follows says nothing to a user. */
const PLAIN_TEXT = /^(?:panic:|fatal error:)|^\S+ \S+ [WEC] \| /;

/** Passes one line of etcd's log on to berth's, and returns it as a short text; undefined if it says nothing. */
export function logEtcdLine(line: string, logger: Logger): string | undefined {
  const parsed = parseLine(line);
  if (parsed === undefined || EXPECTED.some((pattern) => pattern.test(parsed.msg))) return undefined;
  const { level, msg, facts } = parsed;
  const { ts: _time, caller: _caller, stacktrace: _trace, ...etcd } = facts;
  if (level === "warn") logger.warn({ etcd }, `etcd: ${msg}`);
  else logger.error({ etcd }, `etcd: ${msg}`);
  return typeof etcd.error === "string" ? `${msg}: ${etcd.error}` : msg;
}

interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

function parseLine(line: string): LogLine | undefined {
  try {
    const { level, msg, ...facts } = JSON.parse(line);
    if (typeof level === "string" && typeof msg === "string") return { level, msg, facts };
  } catch {
    // Not JSON.
  }
  if (!PLAIN_TEXT.test(line)) return undefined;
  return { level: line.includes(" W | ") ? "warn" : "error", msg: line, facts: {} };
}
