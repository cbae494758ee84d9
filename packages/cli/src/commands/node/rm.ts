import { withClient } from "../../client/client.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface NodeRemoveOptions extends GlobalOptions {
  readonly force?: boolean;
}

/** `berth node rm NODE…` */
export async function removeNodes(
  cli: Cli,
  options: NodeRemoveOptions,
  nodes: readonly string[],
): Promise<void> {
  const force = options.force ?? false;
  const removed: string[] = [];
  await withClient(cli, options, async (client) => {
    for (const node of nodes) {
      const { nodeId } = await client.removeNode({ node, force }, { signal: cli.signal });
      removed.push(nodeId);
      if (options.output !== "json") cli.stdout.write(`${node}\n`);
    }
  });
  if (options.output === "json") printJson(cli, { removed });
}
