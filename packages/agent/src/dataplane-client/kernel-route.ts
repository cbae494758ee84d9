import { type IngressEndpoint, PortSpec_Protocol } from "@berth/proto";
import type { ContainerNetwork, ObservedContainer } from "../core/docker/observed-container.js";
import type { KernelRoute } from "../dataplane/table/ingress-table.js";

const HOST_NETWORK = "host";

/**
 * How the kernel may bring connections to a replica on this host: to its container itself, past Docker's own port.
 * Undefined: the container is not known, or does not run any more.
 */
export function localRoute(
  { address, port }: Pick<IngressEndpoint, "address" | "port">,
  protocol: PortSpec_Protocol,
  container: Pick<ObservedContainer, "ports" | "networks"> | undefined,
): KernelRoute | undefined {
  if (container === undefined) return undefined;
  if (container.networks.some(({ name }) => name === HOST_NETWORK)) {
    return { kind: "direct", address, port, subnet: "" };
  }
  const isUdp = protocol === PortSpec_Protocol.UDP;
  const published = container.ports.find(
    (each) => each.hostPort === port && (each.protocol === PortSpec_Protocol.UDP) === isUdp,
  );
  const network = wayOut(container.networks);
  if (published === undefined || network === undefined) return undefined;
  return { kind: "direct", address: network.address, port: published.target, subnet: network.subnet ?? "" };
}

/**
 * The network by which a container's answers leave: the first by name that has a way out, as Docker has it. Answers
 * by another one would come out of a bridge where nobody expects them.
 */
function wayOut(networks: readonly ContainerNetwork[]): ContainerNetwork | undefined {
  return networks
    .filter(({ address, gateway = "" }) => address !== "" && gateway !== "")
    .toSorted((left, right) => (left.name < right.name ? -1 : 1))[0];
}
