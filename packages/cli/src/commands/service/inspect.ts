import { type GetServiceResponse, type GetServiceTrafficResponse, isBerthError } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { printJson } from "../../output/print.js";
import { prettyService, serviceDetails } from "../../output/service-details.js";
import type { ServiceTraffic } from "../../output/service-traffic.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface InspectOptions extends GlobalOptions {
  readonly pretty?: boolean;
}

/** `berth service inspect SERVICE…` */
export async function inspectServices(
  cli: Cli,
  options: InspectOptions,
  services: readonly string[],
): Promise<void> {
  const found = await withClient(cli, options, (client) =>
    Promise.all(
      services.map(async (service) => {
        const known = await client.getService({ service }, { signal: cli.signal });
        return { known, traffic: await fetchTraffic(known, client, cli.signal) };
      }),
    ),
  );
  const isPretty = options.pretty === true && options.output !== "json";
  const texts = (): readonly string[] =>
    found.map(({ known, traffic }) => prettyService(known, cli.now(), traffic));
  if (isPretty) cli.stdout.write(texts().join("\n"));
  else
    printJson(
      cli,
      found.map(({ known, traffic }) => serviceDetails(known, traffic)),
    );
}

/** Returns the traffic of a service. Undefined without published ports, or if the leader does not support the call. */
async function fetchTraffic(
  { service: summary, ingress }: GetServiceResponse,
  client: ControlClient,
  signal: AbortSignal,
): Promise<ServiceTraffic | undefined> {
  const service = summary?.service?.id ?? "";
  if (ingress.length === 0 || service === "") return undefined;
  const [traffic, { tasks }, { nodes }] = await Promise.all([
    getTrafficIfSupported(service, client, signal),
    client.listTasks({ service, stack: "", node: "" }, { signal }),
    client.listNodes({}, { signal }),
  ]);
  if (traffic === undefined) return undefined;
  const hostnames = new Map(
    nodes.map(({ node }) => [node?.id ?? "", node?.description?.hostname ?? ""] as const),
  );
  return { traffic, tasks, hostnames };
}

/** Calls the leader. Returns undefined if it is an older version of berth that does not have the call. */
async function getTrafficIfSupported(
  service: string,
  client: ControlClient,
  signal: AbortSignal,
): Promise<GetServiceTrafficResponse | undefined> {
  try {
    return await client.getServiceTraffic({ service }, { signal });
  } catch (error) {
    // A server that does not know a call answers UNIMPLEMENTED, which the client reports as BERTH_PROTOCOL.
    if (isBerthError(error, "BERTH_PROTOCOL") || isBerthError(error, "BERTH_UNSUPPORTED")) return undefined;
    throw error;
  }
}
