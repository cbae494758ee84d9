/**
 * Round robin over members that come and go. Every member is offered once before any is offered twice;
 * a change of the members keeps whose turn it is, and newcomers wait for the end of the round.
 */
export class Rotation<Member> {
  #members: readonly Member[] = [];
  #turn = 0;

  get members(): readonly Member[] {
    return this.#members;
  }

  /** Replaces the members. Those that stay keep their order and their turn. */
  replace(members: readonly Member[]): void {
    const wanted = new Set(members);
    const inTurn = [...this.#members.slice(this.#turn), ...this.#members.slice(0, this.#turn)];
    const staying = inTurn.filter((member) => wanted.delete(member));
    this.#members = [...staying, ...wanted];
    this.#turn = 0;
  }

  /**
   * The member with the lowest score of those that `accepts`; of several the one whose turn it is. It goes to the end of
   * the queue.
   */
  lowest(accepts: (member: Member) => boolean, score: (member: Member) => number): Member | undefined {
    let lowest = Number.POSITIVE_INFINITY;
    for (const member of this.#members) if (accepts(member)) lowest = Math.min(lowest, score(member));
    return this.next((member) => accepts(member) && score(member) === lowest);
  }

  /** The next member, in turn, that `accepts`; it goes to the end of the queue and the ones passed over lose their turn. */
  next(accepts: (member: Member) => boolean): Member | undefined {
    const count = this.#members.length;
    for (let step = 0; step < count; step += 1) {
      const index = (this.#turn + step) % count;
      const member = this.#members[index];
      if (member !== undefined && accepts(member)) {
        this.#turn = (index + 1) % count;
        return member;
      }
    }
    return undefined;
  }
}
