import { type JsonObject, readEnum, readNumber, readObject, readText } from "../json.js";

/** Number of lines that the web UI keeps. */
export const MAX_LOG_LINES = 10_000;

/** One line of a log, or a warning about a log that cannot be read. */
export interface LogLine {
  /** Counts the lines that the web UI has received. */
  readonly number: number;
  readonly taskId: string;
  /** "shop_web.3" */
  readonly source: string;
  readonly hostname: string;
  readonly timeMs: number;
  readonly kind: "stdout" | "stderr" | "warning";
  readonly text: string;
}

const NANOSECONDS_PER_MS = 1_000_000n;
const STREAMS = ["stdout", "stderr"] as const;

/** The last lines of a log. */
export class LogBuffer {
  #lines: LogLine[] = [];
  #received = 0;

  /** The kept lines, oldest first. */
  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  add(lines: readonly Omit<LogLine, "number">[]): void {
    const numbered = lines.map((line, index) => ({ ...line, number: this.#received + index }));
    this.#received += lines.length;
    this.#lines = [...this.#lines, ...numbered].slice(-MAX_LOG_LINES);
  }
}

/** Reads a message of a log stream. Returns undefined for a message of an unknown kind. */
export function decodeLogMessage(json: JsonObject): Omit<LogLine, "number"> | undefined {
  const warning = readText(json, "warning");
  if (warning !== "") {
    return { taskId: "", source: "", hostname: "", timeMs: 0, kind: "warning", text: warning };
  }
  const line = readObject(json, "line");
  const entry = readObject(line, "entry");
  const timeNs = readText(entry, "timeNs");
  const serviceName = readText(line, "serviceName");
  if (serviceName === "") return undefined;
  const slot = readNumber(line, "slot");
  return {
    taskId: readText(line, "taskId"),
    source: slot > 0 ? `${serviceName}.${slot}` : serviceName,
    hostname: readText(line, "nodeHostname"),
    timeMs: /^\d{1,20}$/.test(timeNs) ? Number(BigInt(timeNs) / NANOSECONDS_PER_MS) : 0,
    kind: readEnum(entry, "stream", { prefix: "STREAM_", values: STREAMS, fallback: "stdout" as const }),
    text: decodeText(entry),
  };
}

/** Returns the text of a line, which JSON has in base64, without the escape sequences of terminals. */
function decodeText(entry: JsonObject): string {
  const base64 = entry.line;
  if (typeof base64 !== "string") return "";
  try {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return withoutEscapes(new TextDecoder().decode(bytes));
  } catch {
    return "";
  }
}

const ESCAPE = "\u001b";
// Sequences of colors and cursors (CSI), and other control characters except tabs.
const SEQUENCES = new RegExp(`${ESCAPE}\\[[0-9;?]*[ -/]*[@-~]`, "g");
const CONTROLS = /(?!\t)\p{Cc}/gu;

function withoutEscapes(text: string): string {
  return text.replace(SEQUENCES, "").replace(CONTROLS, "");
}

/** Returns the lines that contain the text, ignoring case. */
export function searchLines(lines: readonly LogLine[], text: string): readonly LogLine[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return lines;
  return lines.filter((line) => `${line.source} ${line.text}`.toLowerCase().includes(wanted));
}
