import type { NameServer, NameServerTrouble } from "../dns/name-server.js";
import { type NamesTable, NO_NAMES } from "../dns/names-table.js";
import { withoutSuspects } from "../dns/without-suspects.js";
import type { VipStats } from "./table.js";
import type { VipBalancer } from "./vips/vip-balancer.js";

/** Names of services, and the virtual IPs that they stand for where the kernel balances those. */
export class NamesService {
  readonly #server: NameServer;
  readonly #vips: VipBalancer | undefined;
  #table: NamesTable = NO_NAMES;
  #suspects: ReadonlySet<string> = new Set();

  constructor(server: NameServer, vips: VipBalancer | undefined) {
    this.#server = server;
    this.#vips = vips;
  }

  get troubles(): readonly NameServerTrouble[] {
    return this.#server.troubles;
  }

  /** What the kernel counts, which takes some milliseconds where it balances virtual IPs. */
  async vipStats(): Promise<readonly VipStats[]> {
    const counted = await this.#vips?.connections();
    if (counted === undefined) return [];
    const networks = new Map(this.#table.networks.map(({ id, name }) => [id, name]));
    return this.#table.services.flatMap(({ vip, networkId, service, stack }) => {
      const connections = counted.get(vip);
      if (connections === undefined) return [];
      return [{ service, stack, network: networks.get(networkId) ?? networkId, connections }];
    });
  }

  /** Resolves when names and virtual IPs lead where the table says. */
  async update(table: NamesTable): Promise<void> {
    this.#table = table;
    // A name stands for its virtual IP only once that is balanced.
    await this.#balance();
    await this.#server.update(table);
  }

  /** Tasks on these nodes get no new connections where there are others; all of them, each time. */
  async suspect(nodes: readonly string[]): Promise<void> {
    this.#suspects = new Set(nodes);
    this.#server.suspect(nodes);
    await this.#balance();
  }

  /** @param isLast nobody takes over: what is ours in the kernel goes. */
  async close(options: { readonly isLast: boolean }): Promise<void> {
    await this.#server.close();
    await this.#vips?.close(options);
  }

  async #balance(): Promise<void> {
    await this.#vips?.update(withoutSuspects(this.#table, this.#suspects));
  }
}
