import { hostName, serverHost } from "../history/history.js";
import { startClients } from "./clients.js";
import { SimHost } from "./sim-host.js";
import { SimServer } from "./sim-server.js";
import { User } from "./user.js";
import type { World } from "./world.js";

/** The servers, hosts and user of one simulation. */
export interface Cluster {
  readonly world: World;
  readonly servers: readonly SimServer[];
  readonly hosts: readonly SimHost[];
  readonly user: User;
}

/** Creates the cluster of a history. Nothing runs yet. */
export function buildCluster(world: World): Cluster {
  const { history } = world;
  const servers = Array.from({ length: history.servers }, (_, index) => {
    return new SimServer(world, { name: `server${index + 1}`, host: serverHost(history, index) });
  });
  const addresses = servers.map(({ address }) => address);
  const hosts: SimHost[] = [];
  for (let index = 0; index < history.hosts; index += 1) {
    hosts.push(new SimHost(world, { name: hostName(index), number: index + 1, servers: addresses, hosts }));
  }
  return { world, servers, hosts, user: new User(world, addresses) };
}

export function startAll({ world, servers, hosts }: Cluster): void {
  for (const server of servers) server.start();
  for (const host of hosts) host.startAgent();
  startClients(world, hosts);
}
