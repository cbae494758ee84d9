import { NftScript } from "./batch.js";
import { memberKey } from "./member-key.js";
import { ReferenceCountedSet } from "./reference-counts.js";

/**
 * Services of which one transaction may rewrite the chains: about 50 ms. Where more have changed, what has to go is
 * deleted before that, for all services at once, in a transaction that does nothing else.
 */
const REWRITES_AT_ONCE = 100;
/** Members are numbered on and on, in 32 bits. Near the end the table is loaded anew. */
const LAST_NUMBER = 0xf000_0000;

/** Where the members of one service are. */
export interface MemberRange {
  /** The map that holds them. */
  readonly map: string;
  /** The number of the first one there. */
  readonly base: number;
  readonly size: number;
}

/** How one kind of service looks in the kernel. */
export interface ServiceSchema<Service, Member> {
  /** "ip berth" */
  readonly table: string;
  /** The script of a table without any service, in place of whatever is there. */
  readonly empty: string;
  chainOf(key: string): string;
  /** Always the same one for a service. */
  mapOf(key: string, service: Service): string;
  /** In the order in which they take turns. @param previous as it was before */
  membersOf(service: Service, previous: readonly Member[]): readonly Member[];
  /** Whether a member that may be picked still may. */
  keeps(service: Service): (member: Member) => boolean;
  isSame(one: Service, other: Service): boolean;
  /** A member as an element of a map. */
  memberElement(member: Member): string;
  /** The verdict map that leads to the chain of a service, and by what. */
  dispatchEntry(service: Service): { readonly map: string; readonly element: string };
  rulesOf(service: Service, range: MemberRange): readonly string[];
  /** What a service needs in sets that all services share. */
  elementsOf(service: Service): Iterable<SetElement>;
}

export interface SetElement {
  readonly set: string;
  readonly element: string;
  /** Absent: the one of the services. */
  readonly table?: string;
}

interface LoadedService<Service, Member> extends MemberRange {
  readonly service: Service;
  readonly members: readonly Member[];
  /** Numbers that were deleted since the chain was written. */
  readonly holes: ReadonlySet<number>;
}

export interface Change {
  /** For nft; empty: nothing to do. */
  readonly script: string;
  /** False: another change has to follow. Nothing is picked any more that is not wanted, though. */
  readonly isComplete: boolean;
}

/**
 * What a table of the kernel holds, and the scripts that bring it to what it shall hold, at the cost of what differs.
 * Members have numbers in maps: one that goes is one deletion, and its chain is rewritten later. A script that is
 * returned counts as executed; after one that failed, `load` begins anew. No clock, no effect.
 */
export class NumberedTable<Service, Member> {
  readonly #kind: ServiceSchema<Service, Member>;
  readonly #maxRewrites: number;
  #services = new Map<string, LoadedService<Service, Member>>();
  /** Shared elements, as "TABLE SET". */
  #sets = new Map<string, SharedSet>();
  /** Chains that nothing leads to any more. Kernels before 6.2 refuse to delete them in the transaction that cut them off. */
  #litter = new Set<string>();
  #nextNumber = 1;

  constructor(kind: ServiceSchema<Service, Member>, maxRewrites = REWRITES_AT_ONCE) {
    this.#kind = kind;
    this.#maxRewrites = maxRewrites;
  }

  /** One script that replaces the whole table, whatever is there. */
  load(wanted: ReadonlyMap<string, Service>): string {
    this.#services = new Map();
    this.#sets = new Map();
    this.#litter = new Set();
    this.#nextNumber = 1;
    const batch = new NftScript(this.#kind.table);
    for (const [key, service] of wanted) this.#write(key, service, batch);
    this.#flushSets(batch);
    return `${this.#kind.empty}${batch.text()}`;
  }

  /** The next script on the way to what is wanted. */
  change(wanted: ReadonlyMap<string, Service>): Change {
    if (this.#nextNumber > LAST_NUMBER) return { script: this.load(wanted), isComplete: true };
    const batch = new NftScript(this.#kind.table);
    this.#deleteLitter(batch);
    for (const key of this.#services.keys()) if (!wanted.has(key)) this.#remove(key, batch);
    const stale = [...wanted].filter(([key, service]) => !this.#isAsWanted(key, service));
    const isSplit = stale.length > this.#maxRewrites;
    const hasUrgent = isSplit && this.#punchAll(stale, batch);
    const rewritten = hasUrgent ? [] : stale.slice(0, this.#maxRewrites);
    for (const [key, service] of rewritten) this.#write(key, service, batch);
    this.#flushSets(batch);
    return { script: batch.text(), isComplete: !isSplit && this.#litter.size === 0 };
  }

  /** What is loaded; a service whose members alone were deleted so far is there as it was before. */
  get services(): ReadonlyMap<string, { readonly service: Service }> {
    return this.#services;
  }

  #isAsWanted(key: string, service: Service): boolean {
    const loaded = this.#services.get(key);
    return loaded !== undefined && loaded.holes.size === 0 && this.#kind.isSame(loaded.service, service);
  }

  /** @returns whether there was anything to take out */
  #punchAll(stale: Iterable<readonly [string, Service]>, batch: NftScript): boolean {
    let hasPunched = false;
    for (const [key, service] of stale) {
      const loaded = this.#services.get(key);
      if (loaded !== undefined && this.#punchHoles(key, loaded, service, batch)) hasPunched = true;
    }
    return hasPunched;
  }

  #write(key: string, service: Service, batch: NftScript): void {
    const kind = this.#kind;
    const before = this.#services.get(key);
    const members = kind.membersOf(service, before?.members ?? []);
    const map = kind.mapOf(key, service);
    const range = { map, base: this.#nextNumber, size: members.length };
    this.#nextNumber += members.length;
    this.#services.set(key, { ...range, service, members, holes: new Set() });
    for (const [index, member] of members.entries()) {
      batch.addElement(map, `${memberKey(range.base + index)} : ${kind.memberElement(member)}`);
    }
    const chain = kind.chainOf(key);
    if (before === undefined) {
      batch.addChain(chain);
      this.#litter.delete(chain);
      const door = kind.dispatchEntry(service);
      batch.addElement(door.map, `${door.element} : jump ${chain}`);
    } else {
      batch.flushChain(chain);
      deleteMembers(before, batch);
      this.#count(before.service, -1);
    }
    for (const rule of kind.rulesOf(service, range)) batch.addRule(chain, rule);
    this.#count(service, 1);
  }

  #remove(key: string, batch: NftScript): void {
    const loaded = this.#services.get(key);
    if (loaded === undefined) return;
    const door = this.#kind.dispatchEntry(loaded.service);
    const chain = this.#kind.chainOf(key);
    batch.deleteElement(door.map, door.element);
    batch.flushChain(chain);
    deleteMembers(loaded, batch);
    this.#count(loaded.service, -1);
    this.#services.delete(key);
    this.#litter.add(chain);
  }

  /** Takes members out that are not wanted any more: a pick that meets a hole moves on to the next pick. */
  #punchHoles(
    key: string,
    loaded: LoadedService<Service, Member>,
    wanted: Service,
    batch: NftScript,
  ): boolean {
    const isKept = this.#kind.keeps(wanted);
    const holes = new Set(loaded.holes);
    for (const [index, member] of loaded.members.entries()) {
      const number = loaded.base + index;
      if (holes.has(number) || isKept(member)) continue;
      holes.add(number);
      batch.deleteElement(loaded.map, String(memberKey(number)));
    }
    if (holes.size === loaded.holes.size) return false;
    this.#services.set(key, { ...loaded, holes });
    return true;
  }

  #count(service: Service, by: 1 | -1): void {
    for (const { set, element, table = this.#kind.table } of this.#kind.elementsOf(service)) {
      const path = `${table} ${set}`;
      const shared = this.#sets.get(path) ?? { table, set, counts: new ReferenceCountedSet() };
      this.#sets.set(path, shared);
      if (by === 1) shared.counts.add(element);
      else shared.counts.remove(element);
    }
  }

  #flushSets(batch: NftScript): void {
    for (const { table, set, counts } of this.#sets.values()) {
      const { added, deleted } = counts.drain();
      for (const element of deleted) batch.deleteElement(set, element, table);
      for (const element of added) batch.addElement(set, element, table);
    }
  }

  #deleteLitter(batch: NftScript): void {
    for (const chain of this.#litter) batch.deleteChain(chain);
    this.#litter.clear();
  }
}

interface SharedSet {
  readonly table: string;
  readonly set: string;
  readonly counts: ReferenceCountedSet;
}

function deleteMembers<Service, Member>(
  { map, base, members, holes }: LoadedService<Service, Member>,
  batch: NftScript,
): void {
  for (const index of members.keys()) {
    if (!holes.has(base + index)) batch.deleteElement(map, String(memberKey(base + index)));
  }
}
