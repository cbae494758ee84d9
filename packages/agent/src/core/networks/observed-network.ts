import { fieldOf, listOf, textOf } from "../docker/json.js";
import { NETWORK_CONFIG_LABEL, NETWORK_LABEL, NETWORK_MTU_LABEL } from "../docker/labels.js";

/** A network of this host's Docker. */
export interface ObservedNetwork {
  /** Docker's. */
  readonly id: string;
  readonly name: string;
  /** The cluster's id of it; "": it is not ours. */
  readonly networkId: string;
  /** What it was made from, as {@link networkConfig} writes it. */
  readonly config: string;
  /** Bytes that a packet may have in it, decided when it was made. */
  readonly mtu: number;
}

/** Parses the answer to `GET /networks`. */
export function parseNetworks(json: unknown): readonly ObservedNetwork[] {
  return listOf(json).map((network) => {
    const labels = fieldOf(network, "Labels");
    return {
      id: textOf(fieldOf(network, "Id")),
      name: textOf(fieldOf(network, "Name")),
      networkId: textOf(fieldOf(labels, NETWORK_LABEL)),
      config: textOf(fieldOf(labels, NETWORK_CONFIG_LABEL)),
      mtu: Number(textOf(fieldOf(labels, NETWORK_MTU_LABEL))) || 0,
    };
  });
}
