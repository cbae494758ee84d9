import { isIPv4 } from "node:net";
import type { IngressEndpoint, IngressListener } from "../table/ingress-table.js";
import type { Frontend, KernelEndpoint, KernelService } from "./kernel-service.js";

/**
 * What the kernel shall do for a listener; undefined: the process that listens does it all, because it needs more
 * than the kernel can do (PROXY protocol, least connections, IPv6) or nobody stands behind the port.
 * Endpoints on suspect nodes get no connections, unless there are no others: our own suspicion fails nobody.
 */
export function desiredService(
  listener: IngressListener,
  suspectNodes: ReadonlySet<string>,
): KernelService | undefined {
  const { traffic } = listener;
  if (traffic?.proxyProtocol === true || traffic?.balance === "least-connections") return undefined;
  const door = frontendOf(listener);
  if (door === undefined || listener.endpoints.length === 0) return undefined;
  const endpoints: KernelEndpoint[] = [];
  for (const each of listener.endpoints) {
    const endpoint = kernelEndpoint(each);
    if (endpoint === undefined) return undefined;
    endpoints.push(endpoint);
  }
  const trusted = endpoints.filter(({ node }) => !suspectNodes.has(node));
  return {
    frontend: door,
    balance: traffic?.affinity === "source" ? "source-hash" : "round-robin",
    endpoints: trusted.length === 0 ? endpoints : trusted,
  };
}

/** Undefined: none that the kernel could open. */
export function frontendOf({ protocol, address, port }: IngressListener): Frontend | undefined {
  if (address === "" || address === "0.0.0.0") return { kind: "port", protocol, port };
  return isReachable(address) ? { kind: "bound", protocol, address, port } : undefined;
}

/** Undefined: the kernel cannot bring connections there. */
export function kernelEndpoint({
  id,
  node = "",
  address,
  port,
  route,
}: IngressEndpoint): KernelEndpoint | undefined {
  switch (route?.kind) {
    case undefined:
      return undefined;
    case "forward":
      return isReachable(address)
        ? { id, node, address, port, clientAddress: "masqueraded", localSubnet: "" }
        : undefined;
    case "direct":
      return isReachable(route.address)
        ? {
            id,
            node,
            address: route.address,
            port: route.port,
            clientAddress: "preserved",
            localSubnet: route.subnet,
          }
        : undefined;
  }
}

/** Packets to 127.0.0.0/8 never leave a host, nor enter it. */
function isReachable(address: string): boolean {
  return isIPv4(address) && !address.startsWith("127.");
}
