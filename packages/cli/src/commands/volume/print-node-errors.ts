import { printWarning } from "../../output/print.js";
import type { Cli } from "../../process/cli.js";

/** The result of one node. */
interface NodeResult {
  readonly hostname: string;
  /** Reason why the node could not be queried. Empty if there is none. */
  readonly error: string;
}

/** Warns about the nodes whose volumes are not known. */
export function printNodeErrors(cli: Cli, nodes: readonly NodeResult[]): void {
  for (const { hostname, error } of nodes) {
    if (error !== "") printWarning(cli, `${hostname}: ${error}`);
  }
}
