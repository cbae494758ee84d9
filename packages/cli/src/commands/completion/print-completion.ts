import { BerthError } from "@berth/proto";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { COMPLETION_SCRIPTS } from "./completion-scripts.js";

/** `berth completion SHELL` */
export async function printCompletion(cli: Cli, _options: GlobalOptions, shell: string): Promise<void> {
  const script = COMPLETION_SCRIPTS.get(shell);
  if (script === undefined) {
    const message = `unsupported shell ${JSON.stringify(shell)}; use bash, zsh or fish`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
  }
  cli.stdout.write(script);
}
