import { BerthError, JoinKind } from "@berth/proto";
import type { ControlClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { parseLabels, parseLimit, parsePositiveDurationMs } from "../../options/parse-options.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import type { InstallLineOptions } from "./install-line.js";

export interface InstallTokenOptions extends GlobalOptions {
  readonly label?: readonly string[];
  readonly name?: string;
  readonly approve?: boolean;
  readonly ttl: string;
  readonly uses: string;
}

/** Data with which a host installs berth from the servers and joins as a node. */
export interface Installation extends InstallLineOptions {
  readonly expiresAtMs: number;
}

/**
 * Gets the script of the servers, and creates a token for the hosts that run it.
 *
 * @throws BerthError BERTH_UNSUPPORTED when the servers have no package, BERTH_INPUT_INVALID
 */
export function requestInstallation(
  cli: Cli,
  client: ControlClient,
  options: InstallTokenOptions,
): Promise<Installation> {
  const { signal } = cli;
  const request = {
    kind: JoinKind.NODE,
    ttlMs: parsePositiveDurationMs("--ttl", options.ttl),
    uses: parseLimit("--uses", options.uses),
    hostname: options.name ?? "",
    requiresApproval: options.approve ?? false,
    replaceOthers: false,
    labels: parseLabels("--label", options.label ?? []),
  };
  return retryDuringElection(cli, async () => {
    // Runs before the token is created, which would be left over if this failed.
    const [{ script, url }, { servers }] = await Promise.all([
      client.getInstallScript({}, { signal }),
      client.getCluster({}, { signal }),
    ]);
    if (servers.every((server) => /^(127\.|localhost|\[::1\])/.test(server))) {
      throw new BerthError({
        code: "BERTH_INPUT_INVALID",
        message: `other hosts cannot reach ${servers.join(", ")}; set BERTH_LISTEN or --listen of the servers to an address of their hosts`,
      });
    }
    const { token, record } = await client.createJoinToken(request, { signal });
    return { script, url, servers, token, expiresAtMs: record?.expiresAtMs ?? 0 };
  });
}
