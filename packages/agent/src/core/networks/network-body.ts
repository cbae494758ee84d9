import type { AssignedNetwork } from "@berth/proto";
import { networkLabels } from "../docker/labels.js";
import { bridgeName } from "./devices.js";

/** The body of Docker's `POST /networks/create`, in Docker's own names. */
export interface NetworkBody {
  readonly Name: string;
  /** Older daemons allow two networks of one name, which nobody could tell apart. */
  readonly CheckDuplicate: true;
  readonly Driver: "bridge";
  readonly Internal: boolean;
  readonly Attachable: boolean;
  readonly EnableIPv6: false;
  readonly IPAM: { readonly Driver: "default"; readonly Config: readonly IpamBody[] };
  readonly Options: Readonly<Record<string, string>>;
  readonly Labels: Readonly<Record<string, string>>;
}

interface IpamBody {
  readonly Subnet: string;
  readonly IPRange: string;
  readonly Gateway: string;
  readonly AuxiliaryAddresses: Readonly<Record<string, string>>;
}

/** How Docker makes this host's part of a network. */
export function networkBody(network: AssignedNetwork, mtu: number): NetworkBody {
  const { spec, subnet, range, gateway, vni } = network;
  return {
    Name: spec?.name ?? "",
    CheckDuplicate: true,
    Driver: "bridge",
    Internal: spec?.internal ?? false,
    Attachable: spec?.attachable ?? false,
    EnableIPv6: false,
    IPAM: {
      Driver: "default",
      Config: [{ Subnet: subnet, IPRange: range, Gateway: gateway, AuxiliaryAddresses: reserved(network) }],
    },
    Options: {
      "com.docker.network.bridge.name": bridgeName(vni),
      "com.docker.network.driver.mtu": String(mtu),
    },
    Labels: { ...spec?.labels, ...networkLabels(network, { config: networkConfig(network), mtu }) },
  };
}

/** What of a network Docker cannot change once it is made; its MTU stays as it was made. */
export function networkConfig({ spec, subnet, range, gateway, vni }: AssignedNetwork): string {
  const words = [subnet, range, gateway, String(vni)];
  if (spec?.internal) words.push("internal");
  if (spec?.attachable) words.push("attachable");
  return words.join(" ");
}

/** Docker gives out the first address of a range, which looks like a network's own: programs mistrust a `.0`. */
function reserved({ range, gateway }: AssignedNetwork): Record<string, string> {
  const first = range.split("/")[0] ?? "";
  return first === "" || first === gateway ? {} : { "berth-reserved": first };
}
