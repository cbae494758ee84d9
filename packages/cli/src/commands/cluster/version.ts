import { existsSync } from "node:fs";
import type { GetClusterResponse } from "@berth/proto";
import { BerthError, isBerthError } from "@berth/proto/errors";
import { describeProtocol, protocolRange } from "@berth/proto/protocol";
import { BERTH_VERSION, PROTOCOL_VERSIONS } from "@berth/proto/version";
import { type ConnectionTarget, formatTarget, resolveTarget } from "../../client/resolve-target.js";
import { printJson } from "../../output/print.js";
import { oneLine } from "../../output/table.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** Maximum time to wait for a server. The command also succeeds without the server's version. */
const SERVER_TIMEOUT_MS = 2_000;

/** `berth version`: prints the version of the client, and of the server if it responds. */
export async function showVersion(cli: Cli, options: GlobalOptions): Promise<void> {
  const target = await findTarget(cli, options);
  const address = isBerthError(target) ? undefined : formatTarget(target);
  const server = isBerthError(target) ? target : await getCluster(cli, options, target);
  if (options.output === "json") {
    printJson(cli, {
      client: {
        version: BERTH_VERSION,
        protocolVersion: PROTOCOL_VERSIONS.newest,
        oldestProtocolVersion: PROTOCOL_VERSIONS.oldest,
      },
      server: isBerthError(server) ? { address, error: server.message } : { address, ...server },
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

/** Describes the schema version, and how to complete an upgrade to a newer one. */
function describeSchema({ schemaVersion, supportedSchemaVersion }: GetClusterResponse): string {
  return supportedSchemaVersion > schemaVersion
    ? `${schemaVersion}; all servers support ${supportedSchemaVersion}: complete the upgrade with "berth upgrade finalize"`
    : String(schemaVersion);
}

/** Returns the servers to ask, or an error when they need an identity that the context lacks. */
async function findTarget(cli: Cli, options: GlobalOptions): Promise<ConnectionTarget | BerthError> {
  try {
    return await resolveTarget(cli, options);
  } catch (error) {
    if (isBerthError(error, "BERTH_UNAUTHENTICATED")) return error;
    throw error;
  }
}

/** Asks a server for its versions. Loads the gRPC client, which takes 0.1 s, only if a server may respond. */
async function getCluster(
  cli: Cli,
  options: GlobalOptions,
  target: ConnectionTarget,
): Promise<GetClusterResponse | BerthError> {
  if (target.kind === "local" && !target.sockets.some((path) => existsSync(path))) {
    return new BerthError({
      code: "BERTH_SERVER_UNREACHABLE",
      message: `no berth server on this host: ${formatTarget(target)} does not exist; to use another host, create a context with an invitation ("berth context create --help")`,
    });
  }
  const { withClient } = await import("../../client/client.js");
  const call = { signal: cli.signal, timeoutMs: SERVER_TIMEOUT_MS };
  try {
    return await withClient(cli, options, (client) => client.getCluster({}, call));
  } catch (error) {
    if (isBerthError(error) && !cli.signal.aborted) return error;
    throw error;
  }
}
