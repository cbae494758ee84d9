import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { decodeExecMessage, inputRequest, resizeRequest, startRequest } from "../../core/exec-message.js";
import { isObject, type JsonObject } from "../../core/json.js";
import { withConstructedStyles } from "./terminal-styles.js";

export interface TerminalOptions {
  /** The ID of a task. */
  readonly target: string;
  readonly command: readonly string[];
  /** Called with the state of the command, for users. */
  readonly onStatus: (text: string) => void;
  /** Called when the user leaves the terminal with the keyboard. */
  readonly onLeave: () => void;
  /** Closes the terminal, and ends the command. */
  readonly signal: AbortSignal;
}

/** Opens a terminal in an element, and runs a command of a container in it. */
export function openTerminal(element: HTMLElement, options: TerminalOptions): void {
  const { target, command, onStatus, onLeave, signal } = options;
  if (signal.aborted) return;
  const terminal = new Terminal({ screenReaderMode: true, cursorBlink: false });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  const removeStyles = withConstructedStyles(() => terminal.open(element));
  fit.fit();
  const size = () => ({ columns: terminal.cols, rows: terminal.rows });
  const socket = new WebSocket(execUrl());
  const send = (request: JsonObject): void => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(request));
  };
  const encoder = new TextEncoder();
  terminal.onData((text) => send(inputRequest(encoder.encode(text))));
  terminal.onResize(() => send(resizeRequest(size())));
  terminal.attachCustomKeyEventHandler((event) => {
    const isLeaving = event.key === "Escape" && event.ctrlKey && event.shiftKey;
    if (isLeaving && event.type === "keydown") onLeave();
    return !isLeaving;
  });
  socket.addEventListener("open", () => send(startRequest(target, command, size())));
  let isOver = false;
  const end = (text: string): void => {
    if (!isOver) onStatus(text);
    isOver = true;
  };
  socket.addEventListener("message", ({ data }) => {
    const json: unknown = JSON.parse(String(data));
    const message = decodeExecMessage(isObject(json) ? json : {});
    switch (message.kind) {
      case "started":
        onStatus("Connected.");
        terminal.focus();
        break;
      case "output":
        terminal.write(message.bytes);
        break;
      case "exited":
        end(`The command exited with code ${message.exitCode}.`);
        break;
      case "failed":
        end(message.message);
        break;
      case "other":
        break;
    }
  });
  socket.addEventListener("close", () => end("The connection was closed."));
  const observer = new ResizeObserver(() => fit.fit());
  observer.observe(element);
  signal.addEventListener("abort", () => {
    isOver = true;
    observer.disconnect();
    socket.close();
    terminal.dispose();
    removeStyles();
  });
}

function execUrl(): URL {
  const url = new URL("api/Exec", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return url;
}
