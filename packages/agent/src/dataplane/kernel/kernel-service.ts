import { isIPv4 } from "node:net";
import { assertNever } from "@berth/proto";
import type { IngressEndpoint, IngressListener, TrafficRules } from "../table/ingress-table.js";

export type Protocol = "tcp" | "udp";

/** A published port whose new connections the kernel balances. */
export type Frontend =
  /** On all IPv4 addresses of the host. */
  | { readonly kind: "port"; readonly protocol: Protocol; readonly port: number }
  /** A port on one address of the host. */
  | { readonly kind: "bound"; readonly protocol: Protocol; readonly address: string; readonly port: number };

/** How the kernel picks an endpoint for a new connection. */
export type KernelBalancing = "round-robin" | "source-hash";

/** An endpoint with the address at which the kernel reaches it. */
export interface KernelEndpoint {
  /** The task ID. */
  readonly id: string;
  /** The node that runs the task. Empty if it is not known. */
  readonly node: string;
  readonly address: string;
  readonly port: number;
  /** Endpoints on other hosts see this host's address: their replies have to come back through it. */
  readonly clientAddress: "masqueraded" | "preserved";
  /**
   * The subnet of the container's bridge network when the endpoint is a container on this host, else "". Connections
   * from the same subnet are masqueraded too, because their replies would bypass this host's NAT.
   */
  readonly localSubnet: string;
}

/** A frontend with the endpoints that its connections are balanced over. */
export interface KernelService {
  readonly frontend: Frontend;
  readonly balance: KernelBalancing;
  /** The endpoints of the service: at least one, all with IPv4 addresses. */
  readonly endpoints: readonly KernelEndpoint[];
}

/** The services that the kernel should balance, by {@link frontendKey}. */
export type DesiredServices = ReadonlyMap<string, KernelService>;

/**
 * Returns the service that the kernel should balance for a listener, or undefined if the user-space proxy has to
 * balance it: the listener has no endpoints, or needs a feature that nftables lacks (PROXY protocol, least connections,
 * IPv6).
 *
 * Endpoints on suspect nodes are left out while others remain. A suspicion may be wrong, so it never empties a service.
 */
export function toKernelService(
  listener: IngressListener,
  suspectNodes: ReadonlySet<string>,
): KernelService | undefined {
  const frontend = toFrontend(listener);
  const balance = toKernelBalancing(listener.traffic);
  if (frontend === undefined || balance === undefined || listener.endpoints.length === 0) return undefined;
  const endpoints: KernelEndpoint[] = [];
  for (const endpoint of listener.endpoints) {
    const kernelEndpoint = toKernelEndpoint(endpoint);
    if (kernelEndpoint === undefined) return undefined;
    endpoints.push(kernelEndpoint);
  }
  const trusted = endpoints.filter(({ node }) => !suspectNodes.has(node));
  return { frontend, balance, endpoints: trusted.length === 0 ? endpoints : trusted };
}

/** Returns the kernel's equivalent of the traffic rules, or undefined if there is none. */
function toKernelBalancing(traffic: TrafficRules | undefined): KernelBalancing | undefined {
  if (traffic === undefined) return "round-robin";
  if (traffic.proxyProtocol) return undefined;
  switch (traffic.balance) {
    case "least-connections":
      return undefined;
    case "round-robin":
      break;
    default:
      // A policy that this release does not know is left to the user-space proxy, never approximated.
      return unsupported(traffic.balance);
  }
  switch (traffic.affinity) {
    case "none":
      return "round-robin";
    case "source":
      return "source-hash";
    default:
      return unsupported(traffic.affinity);
  }
}

/** Returns undefined for a policy of a newer release. A new member of the union is a compile error. */
function unsupported(_policy: never): undefined {
  return undefined;
}

/** Returns the frontend of a listener, or undefined if the kernel cannot serve its address. */
export function toFrontend({ protocol, address, port }: IngressListener): Frontend | undefined {
  if (address === "" || address === "0.0.0.0") return { kind: "port", protocol, port };
  return isRoutable(address) ? { kind: "bound", protocol, address, port } : undefined;
}

/** Returns the endpoint as the kernel reaches it, or undefined if the kernel has no route to it. */
export function toKernelEndpoint({
  id,
  node = "",
  address,
  port,
  route,
}: IngressEndpoint): KernelEndpoint | undefined {
  if (route === undefined) return undefined;
  switch (route.kind) {
    case "forward":
      return isRoutable(address)
        ? { id, node, address, port, clientAddress: "masqueraded", localSubnet: "" }
        : undefined;
    case "direct": {
      const { address: container, port: containerPort, subnet } = route;
      if (!isRoutable(container)) return undefined;
      return {
        id,
        node,
        address: container,
        port: containerPort,
        clientAddress: "preserved",
        localSubnet: subnet,
      };
    }
    default:
      return assertNever(route);
  }
}

/** Packets to 127.0.0.0/8 neither leave nor enter a host. */
function isRoutable(address: string): boolean {
  return isIPv4(address) && !address.startsWith("127.");
}

/** Returns the key of a frontend, which is also the name of its service's chain. */
export function frontendKey(frontend: Frontend): string {
  switch (frontend.kind) {
    case "port":
      return `port-${frontend.protocol}-${frontend.port}`;
    case "bound":
      return `bound-${frontend.protocol}-${frontend.address}-${frontend.port}`;
    default:
      return assertNever(frontend);
  }
}

/** Returns the nftables element of a frontend: `tcp . 80` or `10.0.0.1 . tcp . 80`. */
export function frontendElement(frontend: Frontend): string {
  const port = `${frontend.protocol} . ${frontend.port}`;
  return frontend.kind === "port" ? port : `${frontend.address} . ${port}`;
}

/** Returns the nftables element of an endpoint: `10.0.0.1 . tcp . 80`. */
export function endpointElement(
  protocol: Protocol,
  { address, port }: Pick<KernelEndpoint, "address" | "port">,
): string {
  return `${address} . ${protocol} . ${port}`;
}

/** Indexes services by frontend. The first of two services with the same frontend wins. */
export function servicesByFrontend(services: Iterable<KernelService>): DesiredServices {
  const byFrontend = new Map<string, KernelService>();
  for (const service of services) {
    const key = frontendKey(service.frontend);
    if (!byFrontend.has(key)) byFrontend.set(key, service);
  }
  return byFrontend;
}

export function isSameService(left: KernelService, right: KernelService): boolean {
  if (left === right) return true;
  return (
    left.balance === right.balance &&
    left.endpoints.length === right.endpoints.length &&
    left.endpoints.every((endpoint, index) => isSameEndpoint(endpoint, right.endpoints[index]))
  );
}

export function isSameEndpoint(left: KernelEndpoint, right: KernelEndpoint | undefined): boolean {
  return (
    left.id === right?.id &&
    left.node === right.node &&
    left.address === right.address &&
    left.port === right.port &&
    left.clientAddress === right.clientAddress &&
    left.localSubnet === right.localSubnet
  );
}
