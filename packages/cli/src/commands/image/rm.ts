import type { RemoveImagesResponse } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { formatBytes } from "../../output/human.js";
import { imageJson } from "../../output/images.js";
import { printJson, printWarning } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** Timeout of the call. Docker removes a few GiB per second, on all nodes in parallel. */
const TIMEOUT_MS = 10 * 60_000;

/** `berth image rm IMAGE…` */
export async function removeImages(
  cli: Cli,
  options: GlobalOptions,
  images: readonly string[],
): Promise<void> {
  await requestRemoval(cli, options, images);
}

/** `berth image prune` */
export async function pruneImages(cli: Cli, options: GlobalOptions): Promise<void> {
  await requestRemoval(cli, options, []);
}

async function requestRemoval(cli: Cli, options: GlobalOptions, images: readonly string[]): Promise<void> {
  const response = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () =>
      client.removeImages({ images: [...images] }, { signal: cli.signal, timeoutMs: TIMEOUT_MS }),
    ),
  );
  for (const warning of response.warnings) printWarning(cli, warning);
  if (options.output === "json") {
    printJson(cli, response.removed.map(imageJson));
  } else {
    printRemoved(cli, response);
  }
}

function printRemoved(cli: Cli, { removed }: RemoveImagesResponse): void {
  for (const { id, names, nodes } of removed) {
    cli.stdout.write(`Removed ${names[0] ?? id} from ${nodes.join(", ")}\n`);
  }
  const bytes = removed.reduce((sum, { sizeBytes, nodes }) => sum + sizeBytes * nodes.length, 0);
  cli.stdout.write(`Total: at most ${formatBytes(bytes)} of disk space\n`);
}
