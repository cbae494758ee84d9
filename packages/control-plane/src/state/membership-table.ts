import { GroupedMap } from "./grouped-map.js";

/**
 * A table with one record for each member of a network, for example the ranges of nodes or the virtual IPs of services.
 *
 * It is indexed by network and by member. `T` is the record type.
 */
export class MembershipTable<T extends { readonly networkId: string }> {
  readonly #getMemberId: (record: T) => string;
  readonly #byNetwork = new GroupedMap<T>();
  readonly #byMember = new GroupedMap<T>();

  constructor(getMemberId: (record: T) => string) {
    this.#getMemberId = getMemberId;
  }

  get(networkId: string, memberId: string): T | undefined {
    return this.#byNetwork.get(networkId).get(memberId);
  }

  /** Returns the records of a network by member ID. */
  ofNetwork(networkId: string): ReadonlyMap<string, T> {
    return this.#byNetwork.get(networkId);
  }

  /** Returns the records of a member by network ID. */
  ofMember(memberId: string): ReadonlyMap<string, T> {
    return this.#byMember.get(memberId);
  }

  put(record: T): void {
    const { networkId } = record;
    const memberId = this.#getMemberId(record);
    this.#byNetwork.set(networkId, memberId, record);
    this.#byMember.set(memberId, networkId, record);
  }

  delete(networkId: string, memberId: string): void {
    this.#byNetwork.delete(networkId, memberId);
    this.#byMember.delete(memberId, networkId);
  }
}
