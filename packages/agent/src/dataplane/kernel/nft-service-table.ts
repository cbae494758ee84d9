import { NftScript } from "./nft.js";
import { ReferenceCountedSet } from "./reference-counted-set.js";
import { type MemberRange, memberKey } from "./service-chain.js";

/**
 * Maximum number of services that one transaction rewrites, which takes about 50 ms. When more services have changed,
 * an earlier transaction deletes all members that must no longer be selected.
 */
const MAX_REWRITES = 100;
/** Number at which the table is reloaded. Member numbers have 32 bits and are not reused. */
const LAST_NUMBER = 0xf000_0000;

/** The layout of one kind of service in an nftables table: of published ports, or of virtual IPs. */
export interface ServiceSchema<Service, Member> {
  /** Name of the table with its family, such as "ip berth". */
  readonly table: string;
  /** A script that replaces the table with one without services. */
  readonly emptyTable: string;
  /** Returns the name of a service's chain. */
  chainName(key: string): string;
  /** Returns the name of the map that holds a service's members. A service always has the same map. */
  memberMap(key: string, service: Service): string;
  /**
   * Returns the members in the order in which connections are assigned to them.
   *
   * @param previous the members before the change
   */
  orderMembers(service: Service, previous: readonly Member[]): readonly Member[];
  /** Returns a predicate that tells whether a loaded member may still get connections. */
  memberFilter(service: Service): (member: Member) => boolean;
  isSame(left: Service, right: Service): boolean;
  /** Returns a member as the value of a map element. */
  memberElement(member: Member): string;
  /** Returns the verdict map that dispatches packets to the service's chain, and the element to match. */
  dispatchEntry(service: Service): { readonly map: string; readonly element: string };
  /** Returns the rules of a service's chain, which select one of its members. */
  chainRules(service: Service, range: MemberRange): readonly string[];
  /** Returns the elements that the service needs in sets that services share. */
  sharedElements(service: Service): Iterable<SetElement>;
}

/** An element of a set that services share. */
export interface SetElement {
  readonly set: string;
  readonly element: string;
  /** The table of the set. Defaults to the table of the services. */
  readonly table?: string;
}

/** The script of one nft transaction. */
export interface TableChange {
  /** Commands for nft. Empty if there is nothing to do. */
  readonly script: string;
  /** Whether no other change has to follow. Even before that, the kernel selects no member that is not desired. */
  readonly isComplete: boolean;
}

interface LoadedService<Service, Member> extends MemberRange {
  readonly service: Service;
  readonly members: readonly Member[];
  /** Member numbers deleted since the chain was written. */
  readonly deletedNumbers: ReadonlySet<number>;
}

/** A set that services share, with the number of services that use each element. */
interface SharedSet {
  readonly table: string;
  readonly set: string;
  readonly elements: ReferenceCountedSet;
}

/**
 * Computes the scripts that bring an nftables table of services to its desired state, at a cost proportional to the
 * number of differences.
 *
 * Members are numbered map elements, so that the removal of a member is a single deletion. The chain is rewritten
 * later. The class runs no scripts. A returned script counts as executed: if it fails, call `load`.
 */
export class NftServiceTable<Service, Member> {
  readonly #schema: ServiceSchema<Service, Member>;
  readonly #maxRewrites: number;
  #services = new Map<string, LoadedService<Service, Member>>();
  /** Shared sets by "TABLE SET". */
  #sharedSets = new Map<string, SharedSet>();
  /** Chains without references. Kernels before 6.2 refuse to delete a chain in the transaction that unlinked it. */
  #unlinkedChains = new Set<string>();
  #nextNumber = 1;

  constructor(schema: ServiceSchema<Service, Member>, maxRewrites = MAX_REWRITES) {
    this.#schema = schema;
    this.#maxRewrites = maxRewrites;
  }

  /** Returns a script that replaces the whole table, whatever the kernel holds. */
  load(desired: ReadonlyMap<string, Service>): string {
    this.#services = new Map();
    this.#sharedSets = new Map();
    this.#unlinkedChains = new Set();
    this.#nextNumber = 1;
    const script = new NftScript(this.#schema.table);
    for (const [key, service] of desired) this.#write(key, service, script);
    this.#writeSharedSets(script);
    return `${this.#schema.emptyTable}${script.text()}`;
  }

  /** Returns the next script on the way to the desired services, and counts it as executed. */
  nextChange(desired: ReadonlyMap<string, Service>): TableChange {
    if (this.#nextNumber > LAST_NUMBER) return { script: this.load(desired), isComplete: true };
    const script = new NftScript(this.#schema.table);
    for (const chain of this.#unlinkedChains) script.deleteChain(chain);
    this.#unlinkedChains.clear();
    for (const key of this.#services.keys()) if (!desired.has(key)) this.#remove(key, script);
    const outdated = [...desired].filter(([key, service]) => !this.#isUpToDate(key, service));
    const isSplit = outdated.length > this.#maxRewrites;
    const hasDeletions = isSplit && this.#deleteUndesiredMembers(outdated, script);
    const rewritten = hasDeletions ? [] : outdated.slice(0, this.#maxRewrites);
    for (const [key, service] of rewritten) this.#write(key, service, script);
    this.#writeSharedSets(script);
    return { script: script.text(), isComplete: !isSplit && this.#unlinkedChains.size === 0 };
  }

  /** The loaded services. A service appears as it was before until its chain is rewritten. */
  get services(): ReadonlyMap<string, { readonly service: Service }> {
    return this.#services;
  }

  #isUpToDate(key: string, service: Service): boolean {
    const loadedService = this.#services.get(key);
    return (
      loadedService !== undefined &&
      loadedService.deletedNumbers.size === 0 &&
      this.#schema.isSame(loadedService.service, service)
    );
  }

  /** Deletes members that must no longer get connections. Returns whether there were any. */
  #deleteUndesiredMembers(outdated: Iterable<readonly [string, Service]>, script: NftScript): boolean {
    let hasDeleted = false;
    for (const [key, service] of outdated) {
      const loadedService = this.#services.get(key);
      if (loadedService !== undefined && this.#deleteStaleMembers(key, loadedService, service, script)) {
        hasDeleted = true;
      }
    }
    return hasDeleted;
  }

  #write(key: string, service: Service, script: NftScript): void {
    const schema = this.#schema;
    const before = this.#services.get(key);
    const members = schema.orderMembers(service, before?.members ?? []);
    const map = schema.memberMap(key, service);
    const range = { map, base: this.#nextNumber, size: members.length };
    this.#nextNumber += members.length;
    this.#services.set(key, { ...range, service, members, deletedNumbers: new Set() });
    for (const [index, member] of members.entries()) {
      script.addElement(map, `${memberKey(range.base + index)} : ${schema.memberElement(member)}`);
    }
    const chain = schema.chainName(key);
    if (before === undefined) {
      script.addChain(chain);
      this.#unlinkedChains.delete(chain);
      const entry = schema.dispatchEntry(service);
      script.addElement(entry.map, `${entry.element} : jump ${chain}`);
    } else {
      script.flushChain(chain);
      deleteMembers(before, script);
      this.#countElements(before.service, -1);
    }
    for (const rule of schema.chainRules(service, range)) script.addRule(chain, rule);
    this.#countElements(service, 1);
  }

  #remove(key: string, script: NftScript): void {
    const loadedService = this.#services.get(key);
    if (loadedService === undefined) return;
    const entry = this.#schema.dispatchEntry(loadedService.service);
    const chain = this.#schema.chainName(key);
    script.deleteElement(entry.map, entry.element);
    script.flushChain(chain);
    deleteMembers(loadedService, script);
    this.#countElements(loadedService.service, -1);
    this.#services.delete(key);
    this.#unlinkedChains.add(chain);
  }

  /**
   * Deletes members that are no longer desired. A rule that selects a deleted number falls through to the next rule.
   */
  #deleteStaleMembers(
    key: string,
    loaded: LoadedService<Service, Member>,
    desired: Service,
    script: NftScript,
  ): boolean {
    const isKept = this.#schema.memberFilter(desired);
    const deletedNumbers = new Set(loaded.deletedNumbers);
    for (const [index, member] of loaded.members.entries()) {
      const number = loaded.base + index;
      if (deletedNumbers.has(number) || isKept(member)) continue;
      deletedNumbers.add(number);
      script.deleteElement(loaded.map, String(memberKey(number)));
    }
    if (deletedNumbers.size === loaded.deletedNumbers.size) return false;
    this.#services.set(key, { ...loaded, deletedNumbers });
    return true;
  }

  #countElements(service: Service, by: 1 | -1): void {
    for (const { set, element, table = this.#schema.table } of this.#schema.sharedElements(service)) {
      const path = `${table} ${set}`;
      const shared = this.#sharedSets.get(path) ?? { table, set, elements: new ReferenceCountedSet() };
      this.#sharedSets.set(path, shared);
      if (by === 1) shared.elements.add(element);
      else shared.elements.remove(element);
    }
  }

  #writeSharedSets(script: NftScript): void {
    for (const { table, set, elements } of this.#sharedSets.values()) {
      const { added, deleted } = elements.drain();
      for (const element of deleted) script.deleteElement(set, element, table);
      for (const element of added) script.addElement(set, element, table);
    }
  }
}

function deleteMembers<Service, Member>(
  { map, base, members, deletedNumbers }: LoadedService<Service, Member>,
  script: NftScript,
): void {
  for (const index of members.keys()) {
    if (!deletedNumbers.has(base + index)) script.deleteElement(map, String(memberKey(base + index)));
  }
}
