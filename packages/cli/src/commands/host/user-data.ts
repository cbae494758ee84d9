import { withClient } from "../../client/client.js";
import type { Cli } from "../../process/cli.js";
import { cloudConfig } from "./cloud-config.js";
import { type InstallTokenOptions, requestInstallation } from "./request-installation.js";

/** `berth host user-data`: prints user data for cloud-init with which machines install berth and join as nodes. */
export async function printUserData(cli: Cli, options: InstallTokenOptions): Promise<void> {
  const installation = await withClient(cli, options, (client) => requestInstallation(cli, client, options));
  cli.stdout.write(cloudConfig(installation));
}
