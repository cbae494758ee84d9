import type { ListTasksRequest, Task } from "@berth/proto";
import type { ControlClient } from "../../client/client.js";
import { applyFilters } from "../../options/filters.js";
import { printListing } from "../../output/print.js";
import { TASK_FILTERS, taskListing, taskRows } from "../../output/tasks.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface TaskListOptions extends GlobalOptions {
  readonly filter?: readonly string[];
  readonly quiet?: boolean;
  readonly trunc?: boolean;
  readonly resolve?: boolean;
}

export interface TaskQuery {
  readonly options: TaskListOptions;
  readonly requests: readonly Partial<ListTasksRequest>[];
}

/** Prints the tasks that match any of the requests, with the names of their nodes and images. */
export async function printTasks(
  cli: Cli,
  client: ControlClient,
  { options, requests }: TaskQuery,
): Promise<void> {
  const { signal } = cli;
  const [lists, services, nodes] = await Promise.all([
    Promise.all(
      requests.map((request) =>
        client.listTasks({ service: "", stack: "", node: "", ...request }, { signal }),
      ),
    ),
    client.listServices({ stack: "" }, { signal }),
    client.listNodes({}, { signal }),
  ]);
  const byId = new Map<string, Task>(lists.flatMap(({ tasks }) => tasks).map((task) => [task.id, task]));
  const sources = { tasks: [...byId.values()], services: services.services, nodes: nodes.nodes };
  const rows = applyFilters(taskRows(sources), options.filter ?? [], TASK_FILTERS);
  const listingOptions = {
    nowMs: cli.now(),
    noTrunc: options.trunc === false,
    noResolve: options.resolve === false,
  };
  printListing(cli, taskListing(rows, listingOptions), options);
}
