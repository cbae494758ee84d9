import { BerthError, hasDigest, imageProblem, taggedImage } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { requireLocalImage } from "../../images/local-docker.js";
import type { PushProgress } from "../../images/push-content.js";
import { pushImage } from "../../images/push-image.js";
import { pushText } from "../../images/push-missing-images.js";
import { printJson } from "../../output/print.js";
import { progressLine } from "../../output/progress-line.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface PushOptions extends GlobalOptions {
  readonly node?: readonly string[];
  readonly quiet?: boolean;
}

/** `berth image push IMAGE` */
export async function pushImageCommand(cli: Cli, options: PushOptions, image: string): Promise<void> {
  const problem = imageProblem(image) ?? (hasDigest(image) ? "specify its name without a digest" : undefined);
  if (problem !== undefined) throw new BerthError({ code: "BERTH_INPUT_INVALID", message: problem });
  const local = await requireLocalImage(cli, image);
  await withClient(cli, options, async (client) => {
    const terminal = options.output === "json" ? cli.stderr : cli.stdout;
    const print = options.quiet ? () => {} : progressLine(terminal, cli.now);
    const onProgress = terminal.isTty ? (at: PushProgress) => print(pushText(image, at), false) : () => {};
    const push = { image: taggedImage(image), local, nodes: options.node ?? [] };
    const result = await pushImage(cli, client, push, onProgress);
    print(pushText(image, result), true);
    if (options.output === "json") {
      printJson(cli, { image, imageId: local.id, sentBytes: result.sentBytes, nodes: result.storedOn });
    }
  });
}
