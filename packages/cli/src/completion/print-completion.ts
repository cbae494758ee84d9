import { BerthError } from "@berth/proto";
import type { Cli, GlobalOptions } from "../process/cli.js";
import { COMPLETION_SCRIPTS } from "./completion-scripts.js";

/** `berth completion SHELL` */
export async function printCompletion(cli: Cli, _options: GlobalOptions, shell: string): Promise<void> {
  const script = COMPLETION_SCRIPTS.get(shell);
  if (script === undefined) {
    const message = `there is no completion for ${JSON.stringify(shell)}: bash, zsh and fish have one`;
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message });
  }
  cli.stdout.write(script);
}
