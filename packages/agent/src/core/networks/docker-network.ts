import type { AssignedNetwork } from "@berth/proto";
import { readField, readList, readString } from "../docker/json.js";
import { NETWORK_CONFIG_LABEL, NETWORK_LABEL, NETWORK_MTU_LABEL, networkLabels } from "../docker/labels.js";
import { bridgeName } from "./devices.js";

/** The body of Docker's `POST /networks/create`, with Docker's field names. */
export interface NetworkBody {
  readonly Name: string;
  /** Older versions of dockerd accept two networks of the same name unless this is set. */
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

/** Returns the body that creates the Docker bridge network of an overlay network on this host. */
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
      Config: [
        {
          Subnet: subnet,
          IPRange: range,
          Gateway: gateway,
          AuxiliaryAddresses: reservedAddresses(network),
        },
      ],
    },
    Options: {
      "com.docker.network.bridge.name": bridgeName(vni),
      "com.docker.network.driver.mtu": String(mtu),
    },
    Labels: { ...spec?.labels, ...networkLabels(network, { config: networkConfig(network), mtu }) },
  };
}

/**
 * Returns the settings that Docker cannot change after it has created a network. They are stored in a label and compared
 * later. The MTU is not among them: a network keeps the MTU that it was created with.
 */
export function networkConfig({ spec, subnet, range, gateway, vni }: AssignedNetwork): string {
  const settings = [subnet, range, gateway, String(vni)];
  if (spec?.internal) settings.push("internal");
  if (spec?.attachable) settings.push("attachable");
  return settings.join(" ");
}

/**
 * Reserves the first address of the range. Docker would assign it to a container, but some programs reject it because it
 * looks like a network address (`.0`).
 */
function reservedAddresses({ range, gateway }: AssignedNetwork): Record<string, string> {
  const first = range.split("/")[0] ?? "";
  return first === "" || first === gateway ? {} : { "berth-reserved": first };
}

/** A network as this host's dockerd lists it. */
export interface ObservedNetwork {
  /** Docker's ID of the network. */
  readonly id: string;
  readonly name: string;
  /** The cluster's ID of the network. Empty if berth did not create the network. */
  readonly networkId: string;
  /** The settings that the network was created with, in the format of {@link networkConfig}. */
  readonly config: string;
  /** The MTU that the network was created with. 0 if it is not known. */
  readonly mtu: number;
}

/** Parses the response of `GET /networks`. */
export function parseNetworks(json: unknown): readonly ObservedNetwork[] {
  return readList(json).map((network) => {
    const labels = readField(network, "Labels");
    return {
      id: readString(readField(network, "Id")),
      name: readString(readField(network, "Name")),
      networkId: readString(readField(labels, NETWORK_LABEL)),
      config: readString(readField(labels, NETWORK_CONFIG_LABEL)),
      mtu: Number(readString(readField(labels, NETWORK_MTU_LABEL))) || 0,
    };
  });
}
