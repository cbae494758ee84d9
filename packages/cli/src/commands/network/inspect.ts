import type { NetworkSummary } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { networkJson, networkName } from "../../output/networks.js";
import { formatLabels, nodeHostname } from "../../output/nodes.js";
import { printJson } from "../../output/print.js";
import { serviceName } from "../../output/services.js";
import { formatFields } from "../../output/table.js";
import type { Cli } from "../../process/cli.js";
import type { InspectOptions } from "../service/inspect.js";

/** `berth network inspect NETWORK…` */
export async function inspectNetworks(
  cli: Cli,
  options: InspectOptions,
  networks: readonly string[],
): Promise<void> {
  const isPretty = options.pretty === true && options.output !== "json";
  await withClient(cli, options, async (client) => {
    const results = await Promise.all(
      networks.map((network) => client.getNetwork({ network }, { signal: cli.signal })),
    );
    const summaries = results.map(({ network }) => network).filter((network) => network !== undefined);
    if (!isPretty) return printJson(cli, summaries.map(networkJson));
    const names = await fetchNames(cli, client);
    cli.stdout.write(summaries.map((summary) => networkDetailsText(summary, names)).join("\n"));
  });
}

/** Returns the names of all nodes and services by ID. */
async function fetchNames(cli: Cli, client: ControlClient): Promise<ReadonlyMap<string, string>> {
  const [{ nodes }, { services }] = await Promise.all([
    client.listNodes({}, { signal: cli.signal }),
    client.listServices({ stack: "" }, { signal: cli.signal }),
  ]);
  return new Map([
    ...nodes.map((summary) => [summary.node?.id ?? "", nodeHostname(summary)] as const),
    ...services.map((summary) => [summary.service?.id ?? "", serviceName(summary)] as const),
  ]);
}

function networkDetailsText(summary: NetworkSummary, names: ReadonlyMap<string, string>): string {
  const { network, services, ranges, vips, problems } = summary;
  const spec = network?.spec;
  const options = { internal: spec?.internal, attachable: spec?.attachable, encrypted: spec?.encrypted };
  const findName = (id: string): string => names.get(id) ?? id;
  const activeVips = vips.filter(({ releasedAtMs }) => releasedAtMs === 0);
  return formatFields([
    ["ID", network?.id ?? ""],
    ["Name", networkName(summary)],
    ["Stack", spec?.stack ?? ""],
    ["Status", network?.removing ? "Removed once it is no longer in use" : ""],
    ["Subnet", network?.subnet ?? ""],
    ["VNI", String(network?.vni ?? "")],
    ["MTU", String(network?.mtu || spec?.mtu || "")],
    ["Problems", problems],
    ["Flags", Object.entries(options).flatMap(([name, isSet]) => (isSet ? [name] : []))],
    ["Labels", formatLabels(spec?.labels ?? {})],
    ["Nodes", ranges.map(({ nodeId, range }) => `${findName(nodeId)}  ${range}`).sort()],
    ["Services", services],
    ["Virtual IPs", activeVips.map(({ serviceId, address }) => `${findName(serviceId)}  ${address}`).sort()],
  ]);
}
