import { type NetworkOutcome, NetworkOutcome_Kind, type NetworkSummary } from "@berth/proto";
import { type FilterTable, hasLabel } from "../options/filters.js";
import type { Listing } from "./print.js";
import { shortId } from "./services.js";

/** Docker's driver name for networks that span hosts. */
const DRIVER = "overlay";

/** Scope of networks that span hosts. */
const SCOPE = "cluster";

const OUTCOME_NAMES = new Map<NetworkOutcome_Kind, string>([
  [NetworkOutcome_Kind.CREATED, "created"],
  [NetworkOutcome_Kind.UPDATED, "updated"],
  [NetworkOutcome_Kind.UNCHANGED, "unchanged"],
  [NetworkOutcome_Kind.REMOVED, "removed"],
]);

const OUTCOME_VERBS = new Map<NetworkOutcome_Kind, string>([
  [NetworkOutcome_Kind.CREATED, "Creating"],
  [NetworkOutcome_Kind.UPDATED, "Updating"],
  [NetworkOutcome_Kind.REMOVED, "Removing"],
]);

export const networkId = ({ network }: NetworkSummary): string => network?.id ?? "";
export const networkName = ({ network }: NetworkSummary): string => network?.spec?.name ?? "";

/** Describes the output of `berth network ls`: the columns of `docker network ls` with subnet, nodes and services, and JSON. */
export function networkListing(
  rows: readonly NetworkSummary[],
  { noTrunc }: { readonly noTrunc: boolean },
): Listing<NetworkSummary> {
  return {
    rows,
    id: networkId,
    json: networkJson,
    columns: [
      { title: "NETWORK ID", cell: (row) => (noTrunc ? networkId(row) : shortId(networkId(row))) },
      { title: "NAME", cell: networkName },
      { title: "DRIVER", cell: () => DRIVER },
      { title: "SCOPE", cell: () => SCOPE },
      { title: "SUBNET", cell: ({ network }) => network?.subnet ?? "" },
      { title: "NODES", cell: ({ ranges }) => String(ranges.length) },
      { title: "SERVICES", cell: ({ services }) => String(services.length) },
    ],
  };
}

export const NETWORK_FILTERS: FilterTable<NetworkSummary> = {
  id: { matches: (row, value) => networkId(row).startsWith(value) },
  name: { matches: (row, value) => networkName(row).includes(value) },
  label: { matches: ({ network }, value) => hasLabel(network?.spec?.labels ?? {}, value) },
  stack: { matches: ({ network }, value) => (network?.spec?.stack ?? "") === value },
};

export function networkJson({ network, services, ranges, vips, problems }: NetworkSummary): unknown {
  const spec = network?.spec;
  return {
    id: network?.id ?? "",
    name: spec?.name ?? "",
    stack: spec?.stack ?? "",
    driver: DRIVER,
    scope: SCOPE,
    subnet: network?.subnet ?? "",
    vni: network?.vni ?? 0,
    internal: spec?.internal ?? false,
    attachable: spec?.attachable ?? false,
    encrypted: spec?.encrypted ?? false,
    mtu: network?.mtu || (spec?.mtu ?? 0),
    labels: spec?.labels ?? {},
    removing: network?.removing ?? false,
    createdAtMs: network?.createdAtMs ?? 0,
    services,
    nodes: ranges.map(({ nodeId, range, gateway }) => ({ nodeId, range, gateway })),
    virtualIps: vips
      .filter(({ releasedAtMs }) => releasedAtMs === 0)
      .map(({ serviceId, address }) => ({ serviceId, address })),
    problems,
  };
}

export function networkOutcomeJson({ networkId, name, kind }: NetworkOutcome): unknown {
  return { id: networkId, name, outcome: OUTCOME_NAMES.get(kind) ?? "unknown" };
}

/** Returns `Creating network shop_default` for each network that is not unchanged. */
export function networkOutcomeLines(outcomes: readonly NetworkOutcome[]): string {
  return outcomes
    .flatMap(({ name, kind }) => {
      const verb = OUTCOME_VERBS.get(kind);
      return verb === undefined ? [] : [`${verb} network ${name}\n`];
    })
    .join("");
}
