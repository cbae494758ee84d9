import type { SimHost } from "./sim-host.js";
import type { World } from "./world.js";

/** Often enough that some connections wait in each outage, and rarely enough to cost little. */
const CONNECT_EVERY_MS = 400;

/** Starts clients that connect to all published ports of one random host at a time. */
export function startClients(world: World, hosts: readonly SimHost[]): void {
  const rng = world.rng("clients");
  const connect = (): void => {
    world.scheduler.afterQuiet(CONNECT_EVERY_MS * (0.5 + rng.next()), connect);
    const host = hosts[rng.int(0, hosts.length - 1)];
    for (const { port, service } of host?.table?.listeners ?? []) host?.ingress?.connect(port, service);
  };
  world.scheduler.afterQuiet(CONNECT_EVERY_MS, connect);
}
