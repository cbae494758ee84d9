import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface LogoutOptions extends GlobalOptions {
  readonly stack?: string;
}

/** `berth registry logout SERVER…` */
export async function logoutFromRegistries(
  cli: Cli,
  options: LogoutOptions,
  servers: readonly string[],
): Promise<void> {
  const removed: string[] = [];
  const { stack = "" } = options;
  await withClient(cli, options, async (client) => {
    for (const name of servers) {
      const request = { server: name, stack };
      const { login } = await retryDuringElection(cli, () =>
        client.removeRegistryLogin(request, { signal: cli.signal }),
      );
      const server = login?.server ?? name;
      removed.push(server);
      if (options.output !== "json") cli.stdout.write(`${server}\n`);
    }
  });
  if (options.output === "json") printJson(cli, { removed });
}
