import { terminalText } from "./terminal-text.js";

const COLUMN_GAP = "   ";

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
}

/** Formats rows below their titles, as Docker does. Each column is as wide as its widest cell. Ends with a newline. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ cell }) => oneLine(cell(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...lines.map((cells) => cells[index]?.length ?? 0)));
  const formatLine = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join(COLUMN_GAP)
      .trimEnd();
  return lines.map((cells) => `${formatLine(cells)}\n`).join("");
}

/** A name and its value. Multiple values are printed one per line. A field without values is not printed. */
export type Field = readonly [name: string, value: string | readonly string[]];

/** Formats fields as `Hostname:  host-1` with aligned values. Ends with a newline. */
export function formatFields(fields: readonly Field[]): string {
  const nonEmpty = fields.filter(([, value]) => value.length > 0);
  const width = Math.max(...nonEmpty.map(([name]) => name.length)) + 1;
  return nonEmpty
    .flatMap(([name, value]) =>
      [value].flat().map((text, index) => `${(index === 0 ? `${name}:` : "").padEnd(width)}  ${text}\n`),
    )
    .join("");
}

/** Shortens text to `width` characters. The last one is `…` if anything was cut. */
export function truncate(text: string, width: number): string {
  if (text.length <= width) return text;
  return width <= 0 ? "" : `${text.slice(0, width - 1)}…`;
}

/** Returns text, for example a message from a container, as one line that is safe for a terminal. */
export function oneLine(text: string): string {
  return terminalText(text.replace(/[\t\n\v\f\r\u2028\u2029]+/g, " ").trim());
}
