import { randomInt } from "node:crypto";
import type { Logger } from "pino";
import type { DnsSockets } from "./dns-listener.js";
import { DnsServer } from "./dns-server.js";
import { Forwarder } from "./forwarder.js";
import { HostResolvers } from "./host-resolvers.js";
import { DNS_PORT, describeDnsProblem } from "./trouble.js";

const RANDOM_STEPS = 2 ** 32;

/**
 * The name server of this host. It answers nothing before it has been given a table.
 * @param inherited sockets of another process, by address
 */
export function createDnsServer(
  log: Logger,
  isVipActive: (vip: string) => boolean,
  inherited: ReadonlyMap<string, DnsSockets>,
): DnsServer {
  const random = (): number => randomInt(RANDOM_STEPS) / RANDOM_STEPS;
  const now = (): number => performance.now();
  const resolvers = new HostResolvers("/etc/resolv.conf", now);
  return new DnsServer({
    forwarder: new Forwarder({ random, port: DNS_PORT, now }),
    hostResolvers: () => resolvers.servers(),
    random,
    isVipActive,
    port: DNS_PORT,
    inherited,
    onProblem: (trouble) => log.warn({ ...trouble }, describeDnsProblem(trouble)),
  });
}
