/**
 * Picks members in round-robin order while the set of members changes. Every member is picked once before any is picked
 * twice. A change keeps the order of the members that stay; new members are added at the end of the round.
 */
export class Rotation<Member> {
  #members: readonly Member[] = [];
  /** Index of the member that is next. */
  #next = 0;

  get members(): readonly Member[] {
    return this.#members;
  }

  /** Replaces the members. */
  replace(members: readonly Member[]): void {
    const added = new Set(members);
    const inOrder = [...this.#members.slice(this.#next), ...this.#members.slice(0, this.#next)];
    const staying = inOrder.filter((member) => added.delete(member));
    this.#members = [...staying, ...added];
    this.#next = 0;
  }

  /** Returns the accepted member with the lowest score. Of several such members, returns the next in turn. */
  lowest(accepts: (member: Member) => boolean, score: (member: Member) => number): Member | undefined {
    let lowest = Number.POSITIVE_INFINITY;
    for (const member of this.#members) if (accepts(member)) lowest = Math.min(lowest, score(member));
    return this.next((member) => accepts(member) && score(member) === lowest);
  }

  /** Picks the next accepted member. Members before it lose their turn. */
  next(accepts: (member: Member) => boolean): Member | undefined {
    const count = this.#members.length;
    for (let step = 0; step < count; step += 1) {
      const index = (this.#next + step) % count;
      const member = this.#members[index];
      if (member !== undefined && accepts(member)) {
        this.#next = (index + 1) % count;
        return member;
      }
    }
    return undefined;
  }
}
