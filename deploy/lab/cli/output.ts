import { styleText } from "node:util";

export interface Clock {
  /** Prints what has just been done, with the seconds since the start. */
  readonly step: (text: string) => void;
}

export function startClock(): Clock {
  const start = performance.now();
  return {
    step: (text) => {
      const seconds = ((performance.now() - start) / 1_000).toFixed(1).padStart(5);
      console.log(`${dim(`${seconds} s`)}  ${text}`);
    },
  };
}

/** Columns as wide as their widest cell, headed by the keys in capitals. */
export function table(rows: readonly Readonly<Record<string, string | number>>[]): string {
  const keys = Object.keys(rows[0] ?? {});
  const lines = [
    keys.map((key) => key.toUpperCase()),
    ...rows.map((row) => keys.map((key) => String(row[key] ?? ""))),
  ];
  const widths = keys.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("   ")
        .trimEnd(),
    )
    .join("\n");
}

function dim(text: string): string {
  const isPlain = !process.stdout.isTTY || process.env.NO_COLOR !== undefined;
  return isPlain ? text : styleText("dim", text);
}
