import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** `berth node accept NODE…` */
export async function acceptNodes(cli: Cli, options: GlobalOptions, nodes: readonly string[]): Promise<void> {
  const accepted: string[] = [];
  await withClient(cli, options, async (client) => {
    for (const name of nodes) {
      const { node } = await retryDuringElection(cli, () =>
        client.acceptNode({ node: name }, { signal: cli.signal }),
      );
      accepted.push(node?.id ?? "");
      if (options.output !== "json") cli.stdout.write(`${name}\n`);
    }
  });
  if (options.output === "json") printJson(cli, { accepted });
}
