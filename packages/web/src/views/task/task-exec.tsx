import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { errorText } from "../../app/api-error.js";

/** A shell in the container of a task. The terminal is loaded when it is opened: it is as large as the rest of the web UI. */
export function TaskExec({ taskId }: { readonly taskId: string }): JSX.Element {
  const command = useSignal("sh");
  const isOpen = useSignal(false);
  const button = useRef<HTMLButtonElement>(null);
  return (
    <>
      <form
        class="actions"
        onSubmit={(event) => {
          event.preventDefault();
          isOpen.value = !isOpen.value;
        }}
      >
        <label>
          Command{" "}
          <input
            value={command.value}
            disabled={isOpen.value}
            required
            onInput={({ currentTarget }) => (command.value = currentTarget.value)}
          />
        </label>
        <button type="submit" ref={button}>
          {isOpen.value ? "Close terminal" : "Open terminal"}
        </button>
      </form>
      {isOpen.value && (
        <TerminalBox taskId={taskId} command={command.value} onLeave={() => button.current?.focus()} />
      )}
    </>
  );
}

interface TerminalBoxProps {
  readonly taskId: string;
  readonly command: string;
  /** Called when the user leaves the terminal with the keyboard. */
  readonly onLeave: () => void;
}

function TerminalBox({ taskId, command, onLeave }: TerminalBoxProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const status = useSignal("Connecting.");
  useEffect(() => {
    const ended = new AbortController();
    const element = box.current;
    if (element === null) return undefined;
    import("./terminal.js")
      .then(({ openTerminal }) =>
        openTerminal(element, {
          target: taskId,
          command: command.trim().split(/\s+/),
          onStatus: (text) => {
            status.value = text;
          },
          onLeave,
          signal: ended.signal,
        }),
      )
      .catch((reason: unknown) => {
        if (!ended.signal.aborted) status.value = errorText(reason);
      });
    return () => ended.abort();
  }, [taskId, command]);
  return (
    <>
      <p role="status" class="note">
        {status.value} Press Ctrl+Shift+Escape to leave the terminal.
      </p>
      <div class="terminal" ref={box} />
    </>
  );
}
