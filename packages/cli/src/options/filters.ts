import { invalidOption } from "./parse-options.js";

/** What a filter's value must match in a row. */
export type FilterTable<Row> = Readonly<Record<string, (row: Row, value: string) => boolean>>;

/** `--filter name=web --filter mode=global`: values of one name are alternatives, different names must all match. */
export function applyFilters<Row>(
  rows: readonly Row[],
  filters: readonly string[],
  table: FilterTable<Row>,
): readonly Row[] {
  const wanted = new Map<string, string[]>();
  for (const filter of filters) {
    const equals = filter.indexOf("=");
    const name = filter.slice(0, Math.max(0, equals));
    if (!Object.hasOwn(table, name)) {
      const known = Object.keys(table).join(", ");
      throw invalidOption("--filter", `${JSON.stringify(filter)} is not NAME=VALUE with one of ${known}`);
    }
    wanted.set(name, [...(wanted.get(name) ?? []), filter.slice(equals + 1)]);
  }
  return rows.filter((row) =>
    [...wanted].every(([name, values]) => values.some((value) => table[name]?.(row, value) ?? false)),
  );
}

/** A label filter's value is `KEY`, or `KEY=VALUE`. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  if (equals < 0) return Object.hasOwn(labels, wanted);
  return labels[wanted.slice(0, equals)] === wanted.slice(equals + 1);
}
