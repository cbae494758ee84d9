import type { RebalanceMove } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { invalidOption } from "../../options/parse-options.js";
import { type Listing, printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface RebalanceOptions extends GlobalOptions {
  readonly dryRun?: boolean;
  readonly maxMoves?: string;
}

/** `berth rebalance` */
export async function rebalance(cli: Cli, options: RebalanceOptions): Promise<void> {
  const request = { dryRun: options.dryRun ?? false, maxMoves: countOf(options.maxMoves) };
  const { moves } = await withClient(cli, options, (client) =>
    client.rebalance(request, { signal: cli.signal }),
  );
  if (moves.length === 0 && options.output !== "json") {
    cli.stdout.write("Nothing to move: the tasks are spread as evenly as they can be.\n");
    return;
  }
  printListing(cli, moveListing(moves), options);
}

/** 0, which the control plane takes for as many as it takes, when nobody says. */
function countOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw invalidOption("--max-moves", `${JSON.stringify(text)} is not a number of moves from 1 on`);
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
      why: move.reason,
    }),
    columns: [
      { title: "TASK", cell: ({ task }) => `${task?.serviceName ?? ""}.${task?.slot ?? 0}` },
      { title: "FROM", cell: ({ fromHostname, fromNodeId }) => fromHostname || fromNodeId },
      { title: "TO", cell: ({ toHostname, toNodeId }) => toHostname || toNodeId },
      { title: "WHY", cell: ({ reason: why }) => why },
    ],
  };
}
