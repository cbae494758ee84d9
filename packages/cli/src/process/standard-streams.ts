import type { StandardStreams } from "./cli.js";

/** Returns the streams and signals of this process. */
export function standardStreams(): StandardStreams {
  const { stdin, stdout, stderr } = process;
  return {
    isInputTty: stdin.isTTY === true,
    input,
    write: (stream, bytes) => write(stream === "stdout" ? stdout : stderr, bytes),
    setRawMode: (isRaw) => {
      if (stdin.isTTY) stdin.setRawMode(isRaw);
    },
    size: () => (stdout.isTTY ? { columns: stdout.columns, rows: stdout.rows } : undefined),
    onResize: (listener) => {
      stdout.on("resize", listener);
      return () => stdout.off("resize", listener);
    },
    onSignal: (listener, names) => {
      for (const name of names) process.on(name, listener);
      return () => {
        for (const name of names) process.off(name, listener);
      };
    },
  };
}

async function* input(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  // An open read from the terminal would keep the process alive.
  const close = (): void => void process.stdin.destroy();
  signal.addEventListener("abort", close, { once: true });
  try {
    if (!signal.aborted) yield* process.stdin;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", close);
  }
}

function write(stream: NodeJS.WriteStream, bytes: Uint8Array): Promise<void> {
  if (stream.write(bytes)) return Promise.resolve();
  return new Promise((resolve) => stream.once("drain", resolve));
}
