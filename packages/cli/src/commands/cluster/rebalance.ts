import type { RebalanceMove } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { parseLimit } from "../../options/parse-options.js";
import { type Listing, printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface RebalanceOptions extends GlobalOptions {
  readonly dryRun?: boolean;
  readonly maxMoves?: string;
}

/** `berth rebalance`: asks the leader to move tasks to less loaded nodes, and prints the moves. */
export async function rebalance(cli: Cli, options: RebalanceOptions): Promise<void> {
  const request = { dryRun: options.dryRun ?? false, maxMoves: parseLimit("--max-moves", options.maxMoves) };
  const { moves } = await withClient(cli, options, (client) =>
    client.rebalance(request, { signal: cli.signal }),
  );
  if (moves.length === 0 && options.output !== "json") {
    cli.stdout.write("Nothing to move: tasks are already balanced.\n");
    return;
  }
  printListing(cli, moveListing(moves), options);
}

function moveListing(rows: readonly RebalanceMove[]): Listing<RebalanceMove> {
  return {
    rows,
    id: ({ task }) => task?.id ?? "",
    json: (move) => ({
      task: move.task?.id ?? "",
      service: move.task?.serviceName ?? "",
      slot: move.task?.slot ?? 0,
      from: { id: move.fromNodeId, hostname: move.fromHostname },
      to: { id: move.toNodeId, hostname: move.toHostname },
      reason: move.reason,
    }),
    columns: [
      { title: "TASK", cell: ({ task }) => `${task?.serviceName ?? ""}.${task?.slot ?? 0}` },
      { title: "FROM", cell: ({ fromHostname, fromNodeId }) => fromHostname || fromNodeId },
      { title: "TO", cell: ({ toHostname, toNodeId }) => toHostname || toNodeId },
      { title: "REASON", cell: ({ reason }) => reason },
    ],
  };
}
