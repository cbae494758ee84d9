import type { IngressEndpoint, IngressListener } from "../table/ingress-table.js";

/** An endpoint on another host, reached through Docker's published port. */
export const remoteEndpoint: IngressEndpoint = {
  id: "t1",
  node: "n1",
  address: "10.0.0.1",
  port: 32_768,
  route: { kind: "forward" },
};

/** An endpoint in a container on this host. */
export const localEndpoint: IngressEndpoint = {
  id: "t2",
  node: "n2",
  address: "10.0.0.2",
  port: 32_769,
  route: { kind: "direct", address: "172.17.0.2", port: 80, subnet: "172.17.0.0/16" },
};

export function listenerWith(more: Partial<IngressListener> = {}): IngressListener {
  return {
    protocol: "tcp",
    address: "",
    port: 80,
    service: "web",
    endpoints: [remoteEndpoint, localEndpoint],
    draining: [],
    ...more,
  };
}
