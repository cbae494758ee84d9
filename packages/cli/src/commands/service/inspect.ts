import { type GetServiceResponse, isBerthError } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { printJson, printWarning } from "../../output/print.js";
import { serviceDetailsJson, serviceDetailsText } from "../../output/service-details.js";
import type { ServiceTraffic } from "../../output/service-traffic.js";
import { serviceName } from "../../output/services.js";
import { oneLine } from "../../output/table.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** Maximum time to wait for traffic figures. The command also succeeds without them. */
const TRAFFIC_TIMEOUT_MS = 5_000;

export interface InspectOptions extends GlobalOptions {
  readonly pretty?: boolean;
}

/** `berth service inspect SERVICE…` */
export async function inspectServices(
  cli: Cli,
  options: InspectOptions,
  services: readonly string[],
): Promise<void> {
  const results = await withClient(cli, options, (client) =>
    Promise.all(
      services.map(async (service) => {
        const response = await client.getService({ service }, { signal: cli.signal });
        return { response, traffic: await fetchTrafficOrWarn(cli, client, response) };
      }),
    ),
  );
  if (options.pretty && options.output !== "json") {
    const texts = results.map(({ response, traffic }) => serviceDetailsText(response, cli.now(), traffic));
    cli.stdout.write(texts.join("\n"));
    return;
  }
  const details = results.map(({ response, traffic }) => serviceDetailsJson(response, traffic));
  printJson(cli, details);
}

/** Returns the traffic of a service. Undefined without published ports, and if the call fails, which is printed. */
async function fetchTrafficOrWarn(
  cli: Cli,
  client: ControlClient,
  { service: summary, ingress }: GetServiceResponse,
): Promise<ServiceTraffic | undefined> {
  if (summary === undefined || ingress.length === 0) return undefined;
  try {
    return await fetchTraffic(client, summary.service?.id ?? "", cli.signal);
  } catch (error) {
    if (cli.signal.aborted || !isBerthError(error)) throw error;
    if (!isUnsupportedCall(error)) {
      const reason = oneLine(error.message);
      printWarning(cli, `cannot get traffic figures of ${serviceName(summary)}: ${reason}`);
    }
    return undefined;
  }
}

async function fetchTraffic(
  client: ControlClient,
  service: string,
  signal: AbortSignal,
): Promise<ServiceTraffic> {
  const call = { signal, timeoutMs: TRAFFIC_TIMEOUT_MS };
  const [traffic, { tasks }, { nodes }] = await Promise.all([
    client.getServiceTraffic({ service }, call),
    client.listTasks({ service, stack: "", node: "" }, call),
    client.listNodes({}, call),
  ]);
  const hostnames = new Map(
    nodes.map(({ node }) => [node?.id ?? "", node?.description?.hostname ?? ""] as const),
  );
  return { traffic, tasks, hostnames };
}

/**
 * Returns whether the leader runs a version of berth that lacks the call and returns UNIMPLEMENTED (BERTH_PROTOCOL).
 */
function isUnsupportedCall(error: unknown): boolean {
  return isBerthError(error, "BERTH_PROTOCOL") || isBerthError(error, "BERTH_UNSUPPORTED");
}
