import {
  endpointElement,
  type KernelDoor,
  type KernelEndpoint,
  type KernelLayout,
  type KernelService,
  sameEndpoint,
  sameService,
} from "./layout.js";
import { ReferenceCounts } from "./reference-counts.js";
import { chainRules, membersOf } from "./service-chain.js";
import { DOOR_MAPS, ELEMENT_SETS, type ElementSet, memberMap, REPLACE, SKELETON, TABLE } from "./skeleton.js";

/**
 * Services of which one transaction may rewrite the chains: about 50 ms. Where more have changed, what has to go is
 * deleted before that, for all services at once, in a transaction that does nothing else.
 */
const REWRITES_AT_ONCE = 100;
/** Members are numbered on and on, in 32 bits. Near the end the table is loaded anew. */
const LAST_NUMBER = 0xf000_0000;

interface LoadedService {
  readonly service: KernelService;
  readonly map: string;
  /** The number of the first member. */
  readonly base: number;
  readonly members: readonly KernelEndpoint[];
  /** Numbers that were deleted since the chain was written. */
  readonly holes: ReadonlySet<number>;
}

export interface Change {
  /** For nft; empty: nothing to do. */
  readonly script: string;
  /** False: another change has to follow. Nothing is picked any more that is not wanted, though. */
  readonly isDone: boolean;
}

/**
 * What the kernel's table holds, and the scripts that bring it to what it shall hold. A script that is returned counts
 * as executed; after one that failed, `load` begins anew. No clock, no effect.
 */
export class KernelTable {
  readonly #maxRewrites: number;
  #services = new Map<string, LoadedService>();
  #sets = newSets();
  /** Chains that nothing leads to any more. Kernels before 6.2 refuse to delete them in the transaction that cut them off. */
  #litter = new Set<string>();
  #nextNumber = 1;

  constructor(maxRewrites = REWRITES_AT_ONCE) {
    this.#maxRewrites = maxRewrites;
  }

  /** One script that replaces the whole table, whatever is there. */
  load(wanted: KernelLayout, vipRanges: readonly string[] = []): string {
    this.#services = new Map();
    this.#sets = newSets();
    this.#litter = new Set();
    this.#nextNumber = 1;
    for (const range of vipRanges) this.#sets["vip-ranges"].add(range);
    const batch = new Batch();
    for (const [key, service] of wanted) this.#write(key, service, batch);
    this.#flushSets(batch);
    return `${REPLACE}${SKELETON}${batch.text()}`;
  }

  /** The next script on the way to what is wanted. */
  change(wanted: KernelLayout): Change {
    if (this.#nextNumber > LAST_NUMBER) return { script: this.load(wanted), isDone: true };
    const batch = new Batch();
    this.#deleteLitter(batch);
    for (const key of this.#services.keys()) if (!wanted.has(key)) this.#remove(key, batch);
    const stale = [...wanted].filter(([key, service]) => !this.#isAsWanted(key, service));
    const isSplit = stale.length > this.#maxRewrites;
    const hasUrgent = isSplit && this.#punchAll(stale, batch);
    const rewritten = hasUrgent ? [] : stale.slice(0, this.#maxRewrites);
    for (const [key, service] of rewritten) this.#write(key, service, batch);
    this.#flushSets(batch);
    return { script: batch.text(), isDone: !isSplit && this.#litter.size === 0 };
  }

  #isAsWanted(key: string, service: KernelService): boolean {
    const loaded = this.#services.get(key);
    return loaded !== undefined && loaded.holes.size === 0 && sameService(loaded.service, service);
  }

  /** @returns whether there was anything to take out */
  #punchAll(stale: Iterable<readonly [string, KernelService]>, batch: Batch): boolean {
    let hasPunched = false;
    for (const [key, service] of stale) {
      const loaded = this.#services.get(key);
      if (loaded !== undefined && this.#punchHoles(key, loaded, service, batch)) hasPunched = true;
    }
    return hasPunched;
  }

  /** The endpoints of what is loaded, those included that were deleted from a chain which is not rewritten yet. */
  get services(): ReadonlyMap<string, { readonly service: KernelService }> {
    return this.#services;
  }

  #write(key: string, service: KernelService, batch: Batch): void {
    const { door, pick } = service;
    const before = this.#services.get(key);
    const members = membersOf(service, before?.members ?? []);
    const map = memberMap(door.protocol, key);
    const base = this.#nextNumber;
    this.#nextNumber += members.length;
    this.#services.set(key, { service, map, base, members, holes: new Set() });
    for (const [index, { address, port }] of members.entries()) {
      batch.addElement(map, `${base + index} : ${address} . ${port}`);
    }
    if (before === undefined) {
      batch.addChain(key);
      this.#litter.delete(key);
      batch.addElement(DOOR_MAPS[door.kind], `${doorElement(door)} : jump ${key}`);
    } else {
      batch.flushChain(key);
      deleteMembers(before, batch);
      this.#forget(before.service);
    }
    const chain = { protocol: door.protocol, pick, map, base, size: members.length };
    for (const rule of chainRules(chain)) batch.addRule(key, rule);
    for (const [set, element] of elementsOf(service)) this.#sets[set].add(element);
  }

  #remove(key: string, batch: Batch): void {
    const loaded = this.#services.get(key);
    if (loaded === undefined) return;
    const { door } = loaded.service;
    batch.deleteElement(DOOR_MAPS[door.kind], doorElement(door));
    batch.flushChain(key);
    deleteMembers(loaded, batch);
    this.#forget(loaded.service);
    this.#services.delete(key);
    this.#litter.add(key);
  }

  /** Takes members out that are not wanted any more: a pick that meets a hole moves on to the next pick. */
  #punchHoles(key: string, loaded: LoadedService, wanted: KernelService, batch: Batch): boolean {
    const staying = new Map(wanted.endpoints.map((endpoint) => [endpoint.id, endpoint]));
    const holes = new Set(loaded.holes);
    for (const [index, member] of loaded.members.entries()) {
      const number = loaded.base + index;
      if (holes.has(number) || sameEndpoint(member, staying.get(member.id))) continue;
      holes.add(number);
      batch.deleteElement(loaded.map, String(number));
    }
    if (holes.size === loaded.holes.size) return false;
    this.#services.set(key, { ...loaded, holes });
    return true;
  }

  #forget(service: KernelService): void {
    for (const [set, element] of elementsOf(service)) this.#sets[set].remove(element);
  }

  #flushSets(batch: Batch): void {
    for (const name of ELEMENT_SETS) {
      const { added, deleted } = this.#sets[name].drain();
      for (const element of deleted) batch.deleteElement(name, element);
      for (const element of added) batch.addElement(name, element);
    }
  }

  #deleteLitter(batch: Batch): void {
    for (const key of this.#litter) batch.deleteChain(key);
    this.#litter.clear();
  }
}

/** Commands in the order in which nft takes them: a thing is made before it is named, and cut off before it goes. */
class Batch {
  readonly #deletions = new Map<string, string[]>();
  readonly #additions = new Map<string, string[]>();
  readonly #chains: string[] = [];
  readonly #rules: string[] = [];
  readonly #oldChains: string[] = [];

  addChain(name: string): void {
    this.#chains.push(`add chain ip ${TABLE} ${name}`);
  }

  flushChain(name: string): void {
    this.#chains.push(`flush chain ip ${TABLE} ${name}`);
  }

  deleteChain(name: string): void {
    this.#oldChains.push(`delete chain ip ${TABLE} ${name}`);
  }

  addRule(chain: string, rule: string): void {
    this.#rules.push(`add rule ip ${TABLE} ${chain} ${rule}`);
  }

  addElement(set: string, element: string): void {
    append(this.#additions, set, element);
  }

  deleteElement(set: string, element: string): void {
    append(this.#deletions, set, element);
  }

  text(): string {
    const lines = [
      ...this.#oldChains,
      ...[...this.#deletions].map(([set, all]) => `delete element ip ${TABLE} ${set} { ${all.join(", ")} }`),
      ...this.#chains,
      ...this.#rules,
      ...[...this.#additions].map(([set, all]) => `add element ip ${TABLE} ${set} { ${all.join(", ")} }`),
    ];
    return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  }
}

function append(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

function newSets(): Readonly<Record<ElementSet, ReferenceCounts>> {
  return {
    remotes: new ReferenceCounts(),
    locals: new ReferenceCounts(),
    replicas: new ReferenceCounts(),
    hairpins: new ReferenceCounts(),
    neighbours: new ReferenceCounts(),
    "vip-ranges": new ReferenceCounts(),
  };
}

function deleteMembers({ map, base, members, holes }: LoadedService, batch: Batch): void {
  for (const index of members.keys()) {
    if (!holes.has(base + index)) batch.deleteElement(map, String(base + index));
  }
}

/** What a service needs in the sets that all services share. */
function* elementsOf({ door, endpoints }: KernelService): Generator<readonly [ElementSet, string]> {
  const { protocol } = door;
  for (const endpoint of endpoints) {
    const element = endpointElement(protocol, endpoint);
    if (endpoint.source === "masqueraded") yield ["remotes", element];
    else yield ["locals", element];
    if (endpoint.source === "kept" && protocol === "tcp") yield ["replicas", element];
    if (endpoint.subnet === "") continue;
    yield ["neighbours", `${endpoint.subnet} . ${endpoint.subnet}`];
    yield ["hairpins", `${endpoint.address} . ${protocol} . ${door.port}`];
  }
}

/** `tcp . 80`, or `10.0.0.1 . tcp . 80`: a door as nft names it. */
export function doorElement(door: KernelDoor): string {
  const port = `${door.protocol} . ${door.port}`;
  return door.kind === "port" ? port : `${door.address} . ${port}`;
}
