import { withClient } from "../../client/client.js";
import { applyFilters } from "../../options/filters.js";
import { parseLimit } from "../../options/parse-options.js";
import { containerListing, containerRows, PS_FILTERS } from "../../output/containers.js";
import { printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface PsOptions extends GlobalOptions {
  readonly all?: boolean;
  readonly filter?: readonly string[];
  readonly last?: string;
  readonly node?: string;
  readonly trunc?: boolean;
  readonly quiet?: boolean;
}

/** `berth ps`: lists the tasks of all nodes, with the columns of `docker ps`. */
export async function listContainers(cli: Cli, options: PsOptions): Promise<void> {
  const limit = parseLimit("--last", options.last);
  const { signal } = cli;
  const [{ tasks }, { services }, { nodes }] = await withClient(cli, options, (client) =>
    Promise.all([
      client.listTasks({ service: "", stack: "", node: options.node ?? "" }, { signal }),
      client.listServices({ stack: "" }, { signal }),
      client.listNodes({}, { signal }),
    ]),
  );
  // As in Docker, a state filter and --last include tasks that have ended.
  const showEnded =
    options.all || limit > 0 || (options.filter ?? []).some((filter) => filter.startsWith("status="));
  const listed = containerRows({ tasks, services, nodes }).filter(({ isRunning }) => showEnded || isRunning);
  const rows = applyFilters(listed, options.filter ?? [], PS_FILTERS);
  const newest = limit === 0 ? rows : rows.slice(0, limit);
  printListing(
    cli,
    containerListing(newest, { nowMs: cli.now(), noTrunc: options.trunc === false }),
    options,
  );
}
