import type { DnsServerProblem } from "./dns-server.js";

export const DNS_PORT = 53;

/** What to do about it, for a person. */
export function describeDnsProblem({ address, code }: DnsServerProblem): string {
  const what = `names of services cannot be answered at ${address}:${DNS_PORT}`;
  switch (code) {
    case "EADDRINUSE":
      return `${what}: another name server of this host holds port ${DNS_PORT} on all addresses; bind it to the addresses that it is for`;
    case "EACCES":
      return `${what}: ports below 1024 need root or CAP_NET_BIND_SERVICE`;
    case "EADDRNOTAVAIL":
      return `${what}: the network's bridge is not there`;
    default:
      return `${what}: ${code}`;
  }
}
