/** Number of colors in the style sheet, as classes `service-0` and so on. */
export const COLOR_COUNT = 12;

/**
 * Assigns colors to services. A service keeps its color, and the first services have different ones. The color is
 * derived from the name, so that it is the same in all browsers.
 */
export class ServiceColors {
  readonly #colors = new Map<string, number>();
  readonly #uses = new Array<number>(COLOR_COUNT).fill(0);

  /** Returns the number of the color, from 0. */
  colorOf(service: string): number {
    const known = this.#colors.get(service);
    if (known !== undefined) return known;
    const start = hash(service) % COLOR_COUNT;
    const candidates = this.#uses.map((_, offset) => (start + offset) % COLOR_COUNT);
    const leastUses = Math.min(...this.#uses);
    const color = candidates.find((candidate) => this.#uses[candidate] === leastUses) ?? start;
    this.#colors.set(service, color);
    this.#uses[color] = leastUses + 1;
    return color;
  }

  /** Assigns colors in the order of the names, so that it does not depend on the order of changes. */
  assignAll(services: Iterable<string>): void {
    for (const service of [...services].sort()) this.colorOf(service);
  }

  /** Frees the colors of removed services. */
  retain(services: ReadonlySet<string>): void {
    for (const [service, color] of this.#colors) {
      if (services.has(service)) continue;
      this.#colors.delete(service);
      this.#uses[color] = (this.#uses[color] ?? 1) - 1;
    }
  }
}

/** FNV-1a with 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return value >>> 0;
}
