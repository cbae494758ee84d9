import { didYouMean } from "../compose/text/suggest.js";
import { invalidOptionError } from "./parse-options.js";

/** A filter that `--filter NAME=VALUE` applies to the rows of a list. */
export interface Filter<Row> {
  /** All possible values. Undefined if any text is possible. */
  readonly values?: readonly string[];
  readonly matches: (row: Row, value: string) => boolean;
}

export type FilterTable<Row> = Readonly<Record<string, Filter<Row>>>;

/**
 * Returns the rows that match `--filter NAME=VALUE` options. Values of the same name are alternatives; different names
 * must all match.
 */
export function applyFilters<Row>(
  rows: readonly Row[],
  filters: readonly string[],
  table: FilterTable<Row>,
): readonly Row[] {
  const valuesByName = new Map<string, string[]>();
  for (const filter of filters) {
    const { name, value } = parseFilter(filter, table);
    valuesByName.set(name, [...(valuesByName.get(name) ?? []), value]);
  }
  return rows.filter((row) =>
    [...valuesByName].every(([name, values]) =>
      values.some((value) => table[name]?.matches(row, value) ?? false),
    ),
  );
}

function parseFilter<Row>(text: string, table: FilterTable<Row>): { name: string; value: string } {
  const equals = text.indexOf("=");
  const name = text.slice(0, Math.max(0, equals));
  const value = text.slice(equals + 1);
  const names = Object.keys(table);
  const filter = Object.hasOwn(table, name) ? table[name] : undefined;
  if (filter === undefined) {
    throw invalidOptionError(
      "--filter",
      `invalid filter ${JSON.stringify(text)}; use NAME=VALUE with ${names.join(", ")}`,
    );
  }
  if (filter.values !== undefined && !filter.values.includes(value)) {
    const hint = didYouMean(value, filter.values);
    const validValues = filter.values.join(", ");
    throw invalidOptionError(
      "--filter",
      `invalid ${name} ${JSON.stringify(value)}; use ${validValues}${hint}`,
    );
  }
  return { name, value };
}

/** Returns whether the labels match a filter value of the form `KEY` or `KEY=VALUE`. */
export function hasLabel(labels: Readonly<Record<string, string>>, filter: string): boolean {
  const equals = filter.indexOf("=");
  if (equals < 0) return Object.hasOwn(labels, filter);
  return labels[filter.slice(0, equals)] === filter.slice(equals + 1);
}
