import { randomInt } from "node:crypto";
import type { Logger } from "pino";
import type { DnsSockets } from "./dns-listener.js";
import { Forwarder } from "./forward.js";
import { HostResolvers } from "./host-resolvers.js";
import { NameServer } from "./name-server.js";
import { DNS_PORT, describeTrouble } from "./trouble.js";

const RANDOM_STEPS = 2 ** 32;

/**
 * The name server of this host. It answers nothing before it has been given a table.
 * @param inherited sockets of another process, by address
 */
export function openNameServer(
  log: Logger,
  isInForce: (vip: string) => boolean,
  inherited: ReadonlyMap<string, DnsSockets>,
): NameServer {
  const random = (): number => randomInt(RANDOM_STEPS) / RANDOM_STEPS;
  const now = (): number => performance.now();
  const resolvers = new HostResolvers("/etc/resolv.conf", now);
  return new NameServer({
    forwarder: new Forwarder({ random, port: DNS_PORT, now }),
    hostResolvers: () => resolvers.servers(),
    random,
    isInForce,
    port: DNS_PORT,
    inherited,
    onTrouble: (trouble) => log.warn({ ...trouble }, describeTrouble(trouble)),
  });
}
