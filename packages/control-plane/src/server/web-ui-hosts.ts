import { isIP } from "node:net";
import { hostOfAddress } from "../core/membership/server-records.js";

const DNS_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

export interface WebUiHostsOptions {
  /** "host:port" at which other hosts reach the server. */
  readonly advertise: string;
  /** Name of this host. */
  readonly hostname: string;
  /** Further names, such as that of a load balancer. */
  readonly names: readonly string[];
}

/**
 * Returns the IP addresses and names at which browsers open the web UI of a server, in lower case. The certificate has
 * them, and requests for other names are refused.
 */
export function webUiHosts({ advertise, hostname, names }: WebUiHostsOptions): readonly string[] {
  const hosts = [hostOfAddress(advertise), hostname, ...names].map((host) => host.toLowerCase());
  return [...new Set(hosts)].filter((host) => isIP(host) !== 0 || isDnsName(host));
}

/** Returns whether a text in lower case is a DNS name. */
export function isDnsName(text: string): boolean {
  return DNS_NAME.test(text);
}
