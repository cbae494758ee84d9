/** nft's commands in the order in which it takes them: a thing is made before it is named, and cut off before it goes. */
export class NftScript {
  readonly #table: string;
  readonly #deletions = new Map<string, string[]>();
  readonly #additions = new Map<string, string[]>();
  readonly #chains: string[] = [];
  readonly #rules: string[] = [];
  readonly #oldChains: string[] = [];

  /** @param table whose chains and maps are meant: "ip berth" */
  constructor(table: string) {
    this.#table = table;
  }

  addChain(name: string): void {
    this.#chains.push(`add chain ${this.#table} ${name}`);
  }

  flushChain(name: string): void {
    this.#chains.push(`flush chain ${this.#table} ${name}`);
  }

  deleteChain(name: string): void {
    this.#oldChains.push(`delete chain ${this.#table} ${name}`);
  }

  addRule(chain: string, rule: string): void {
    this.#rules.push(`add rule ${this.#table} ${chain} ${rule}`);
  }

  /** @param table another one than that of the chains */
  addElement(set: string, element: string, table = this.#table): void {
    append(this.#additions, `${table} ${set}`, element);
  }

  deleteElement(set: string, element: string, table = this.#table): void {
    append(this.#deletions, `${table} ${set}`, element);
  }

  text(): string {
    const lines = [
      ...this.#oldChains,
      ...[...this.#deletions].map(([set, all]) => `delete element ${set} { ${all.join(", ")} }`),
      ...this.#chains,
      ...this.#rules,
      ...[...this.#additions].map(([set, all]) => `add element ${set} { ${all.join(", ")} }`),
    ];
    return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  }
}

function append(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
