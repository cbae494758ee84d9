import type { Cli } from "../process/cli.js";
import { type Column, formatTable, oneLine } from "./table.js";

/** A list of objects, and how `printListing` prints them in each format. */
export interface Listing<Row> {
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  readonly id: (row: Row) => string;
  readonly json: (row: Row) => unknown;
}

export interface ListingOptions {
  readonly output?: string;
  readonly quiet?: boolean;
}

/** Prints a list as a table, as IDs only (`--quiet`), or as JSON. */
export function printListing<Row>(cli: Cli, listing: Listing<Row>, options: ListingOptions): void {
  const { rows, columns, id, json } = listing;
  if (options.output === "json") {
    printJson(cli, rows.map(json));
  } else if (options.quiet) {
    cli.stdout.write(rows.map((row) => `${id(row)}\n`).join(""));
  } else {
    cli.stdout.write(formatTable(columns, rows));
  }
}

/** Prints a warning on one line, so that its text cannot be mistaken for other output. */
export function printWarning(cli: Cli, message: string): void {
  cli.stderr.write(`warning: ${oneLine(message)}\n`);
}

export function printJson(cli: Cli, value: unknown): void {
  cli.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}
