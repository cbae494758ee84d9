import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { readMessages } from "../../app/api.js";
import { errorText } from "../../app/api-error.js";
import {
  decodeLogMessage,
  LogBuffer,
  type LogLine,
  MAX_LOG_LINES,
  searchLines,
} from "../../core/logs/log-buffer.js";
import { formatTime } from "../../format/format.js";

/** Number of earlier lines of each task. */
const TAIL = 500;
/** How often new lines are drawn. */
const REDRAW_MS = 200;
/** Maximum number of lines in the document. The search and the download use all lines. */
const SHOWN = 1_000;

export interface TaskLogsProps {
  /** The ID of a service or a task. */
  readonly target: string;
  /** Name of the downloaded file, without its extension. */
  readonly fileName: string;
}

/** The merged logs of a service or the log of a task: followed, searched and downloaded. */
export function TaskLogs({ target, fileName }: TaskLogsProps): JSX.Element {
  const isOpen = useSignal(false);
  if (!isOpen.value) {
    return (
      <button type="button" onClick={() => (isOpen.value = true)}>
        Show logs
      </button>
    );
  }
  return <OpenLogs target={target} fileName={fileName} />;
}

function OpenLogs({ target, fileName }: TaskLogsProps): JSX.Element {
  const lines = useSignal<readonly LogLine[]>([]);
  const error = useSignal("");
  const search = useSignal("");
  const isFollowing = useSignal(true);
  const box = useRef<HTMLDivElement>(null);

  useEffect(() => followLogs(target, lines, error), [target]);
  // The button that had the focus is gone.
  useEffect(() => box.current?.focus({ preventScroll: true }), []);
  const found = searchLines(lines.value, search.value);
  const shown = found.slice(-SHOWN);
  useEffect(() => {
    if (isFollowing.value && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [shown.at(-1)?.number, isFollowing.value]);

  return (
    <>
      <div class="actions">
        <label>
          Search{" "}
          <input
            type="search"
            value={search.value}
            onInput={({ currentTarget }) => (search.value = currentTarget.value)}
          />
        </label>
        <label>
          <input
            type="checkbox"
            checked={isFollowing.value}
            onChange={({ currentTarget }) => (isFollowing.value = currentTarget.checked)}
          />{" "}
          Follow
        </label>
        <button type="button" onClick={() => download(`${fileName}.log`, lines.value)}>
          Download
        </button>
        <span class="note" role="status">
          {search.value === ""
            ? `${lines.value.length} lines`
            : `${found.length} of ${lines.value.length} lines`}
          {lines.value.length === MAX_LOG_LINES && ", earlier ones are dropped"}
        </span>
      </div>
      {error.value !== "" && <p class="error">{error.value}</p>}
      <div
        class="log"
        ref={box}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must be able to scroll it.
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label="Log"
        onScroll={({ currentTarget }) => (isFollowing.value = isScrolledToEnd(currentTarget))}
      >
        {shown.map((line) => (
          <div key={line.number} class={line.kind === "stdout" ? "" : "warning"}>
            {line.kind !== "warning" && (
              <span class="source">
                {formatTime(line.timeMs)} {line.source}@{line.hostname}{" "}
              </span>
            )}
            {line.text}
          </div>
        ))}
      </div>
    </>
  );
}

/** Returns whether the newest lines are visible. Heights can have fractions of a pixel. */
function isScrolledToEnd({ scrollTop, clientHeight, scrollHeight }: HTMLElement): boolean {
  return scrollHeight - scrollTop - clientHeight < 2;
}

/** Follows a log until the returned function is called. */
function followLogs(
  target: string,
  lines: { value: readonly LogLine[] },
  error: { value: string },
): () => void {
  const ended = new AbortController();
  const buffer = new LogBuffer();
  let received: Omit<LogLine, "number">[] = [];
  const redraw = (): void => {
    if (received.length === 0) return;
    buffer.add(received);
    received = [];
    lines.value = buffer.lines;
  };
  const timer = setInterval(redraw, REDRAW_MS);
  const read = async (): Promise<void> => {
    for await (const message of readMessages(
      "StreamLogs",
      { target, follow: true, tail: TAIL },
      ended.signal,
    )) {
      const line = decodeLogMessage(message);
      if (line !== undefined) received.push(line);
    }
  };
  read()
    .catch((reason: unknown) => {
      if (!ended.signal.aborted) error.value = errorText(reason);
    })
    .finally(redraw);
  return () => {
    ended.abort();
    clearInterval(timer);
  };
}

function download(name: string, lines: readonly LogLine[]): void {
  const text = lines
    .map(({ timeMs, source, hostname, text: content, kind }) =>
      kind === "warning"
        ? `# ${content}`
        : `${new Date(timeMs).toISOString()} ${source}@${hostname} ${content}`,
    )
    .join("\n");
  const url = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
