import {
  BERTH_VERSION,
  describeProtocol,
  type GetClusterResponse,
  isBerthError,
  PROTOCOL_VERSIONS,
  protocolRange,
} from "@berth/proto";
import { withClient } from "../../client/client.js";
import { formatTarget, resolveTarget } from "../../client/resolve-target.js";
import { printJson } from "../../output/print.js";
import { oneLine } from "../../output/table.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** Limits the wait for a server. The command succeeds without its version. */
const SERVER_TIMEOUT_MS = 2_000;

/** `berth version`: prints the version of the client, and of the server if it responds. */
export async function showVersion(cli: Cli, options: GlobalOptions): Promise<void> {
  const address = await findAddress(cli, options);
  const call = { signal: cli.signal, timeoutMs: SERVER_TIMEOUT_MS };
  const server = await withClient(cli, options, (client) => client.getCluster({}, call)).catch(
    (error: unknown) => {
      if (isBerthError(error) && !cli.signal.aborted) return error;
      throw error;
    },
  );
  if (options.output === "json") {
    printJson(cli, {
      client: {
        version: BERTH_VERSION,
        protocolVersion: PROTOCOL_VERSIONS.newest,
        oldestProtocolVersion: PROTOCOL_VERSIONS.oldest,
      },
      server: { address, ...(isBerthError(server) ? { error: server.message } : server) },
    });
    return;
  }
  cli.stdout.write(`Client: ${BERTH_VERSION} (${describeProtocol(PROTOCOL_VERSIONS)})\n`);
  if (isBerthError(server)) {
    cli.stdout.write(`Server: ${oneLine(server.message)}\n`);
    return;
  }
  const { serverVersion, protocolVersion, oldestProtocolVersion, leaderAddress } = server;
  const protocol = describeProtocol(protocolRange(oldestProtocolVersion || protocolVersion, protocolVersion));
  cli.stdout.write(`Server: ${serverVersion} (${protocol}) at ${address}, leader ${leaderAddress}\n`);
  if (server.schemaVersion > 0) cli.stdout.write(`Schema: ${describeSchema(server)}\n`);
}

/** Returns the version of the records, and what to do when a newer one can be used. */
function describeSchema({ schemaVersion, supportedSchemaVersion }: GetClusterResponse): string {
  return supportedSchemaVersion > schemaVersion
    ? `${schemaVersion}; all servers support ${supportedSchemaVersion}: complete the upgrade with "berth upgrade finalize"`
    : String(schemaVersion);
}

/** Returns the addresses of the servers; undefined when they need an identity and there is none. */
async function findAddress(cli: Cli, options: GlobalOptions): Promise<string | undefined> {
  try {
    return formatTarget(await resolveTarget(cli, options));
  } catch (error) {
    if (isBerthError(error, "BERTH_UNAUTHENTICATED")) return undefined;
    throw error;
  }
}
