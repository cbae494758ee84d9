import { withClient } from "../../client/client.js";
import { printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface StackListOptions extends GlobalOptions {
  readonly quiet?: boolean;
}

interface StackRow {
  readonly name: string;
  readonly services: number;
}

/** `berth stack ls` */
export async function listStacks(cli: Cli, options: StackListOptions): Promise<void> {
  const { services } = await withClient(cli, options, (client) =>
    client.listServices({ stack: "" }, { signal: cli.signal }),
  );
  const counts = new Map<string, number>();
  for (const { service } of services) {
    const stack = service?.spec?.stack ?? "";
    if (stack !== "") counts.set(stack, (counts.get(stack) ?? 0) + 1);
  }
  const rows = [...counts].map(([name, count]): StackRow => ({ name, services: count }));
  const listing = {
    rows: rows.toSorted((a, b) => a.name.localeCompare(b.name)),
    id: ({ name }: StackRow) => name,
    json: (row: StackRow) => row,
    columns: [
      { title: "NAME", cell: ({ name }: StackRow) => name },
      { title: "SERVICES", cell: ({ services: count }: StackRow) => String(count) },
    ],
  };
  printListing(cli, listing, options);
}
