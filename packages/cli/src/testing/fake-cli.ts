import { readFile } from "node:fs/promises";
import type { Cli, StandardStreams, Terminal } from "../process/cli.js";

export interface FakeCliOptions {
  readonly isTty?: boolean;
  readonly columns?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
  readonly serverSocket?: string;
  readonly signal?: AbortSignal;
  readonly streams?: Partial<StandardStreams>;
}

export interface FakeCli extends Cli {
  /** Returns the text on standard output so far. */
  readonly out: () => string;
  /** Returns the text on standard error so far. */
  readonly err: () => string;
}

/** Creates the environment of a command without a process. It records the output and has no saved contexts. */
export function fakeCli(options: FakeCliOptions = {}): FakeCli {
  const { isTty = false, columns = 80, env = {}, cwd = "/nowhere", stdin = "" } = options;
  const out: string[] = [];
  const err: string[] = [];
  const terminal = (written: string[]): Terminal => ({
    write: (text) => void written.push(text),
    writeRaw: (text) => void written.push(text),
    isTty,
    columns,
  });
  return {
    stdout: terminal(out),
    stderr: terminal(err),
    env,
    cwd,
    homeDirectory: "/nowhere",
    serverSocket: options.serverSocket ?? "/nowhere/server.sock",
    readSecret: async ({ file }) => (file === "-" ? stdin : await readFile(file, "utf8")).trim(),
    readStdin: async () => Buffer.from(stdin),
    streams: {
      isInputTty: false,
      input: async function* () {
        yield Buffer.from(stdin);
      },
      write: async (stream, bytes) => void (stream === "stdout" ? out : err).push(String(Buffer.from(bytes))),
      setRawMode: () => {},
      size: () => undefined,
      onResize: () => () => {},
      onSignal: () => () => {},
      ...options.streams,
    },
    signal: options.signal ?? new AbortController().signal,
    now: Date.now,
    out: () => out.join(""),
    err: () => err.join(""),
  };
}
