import { failureOf, type RunProgram, runProgram } from "../../runtime/run-program.js";

/** Timeout of nft. A full table of thousands of services takes 1-2 s, and several seconds on a busy host. */
const TIMEOUT_MS = 10_000;

export interface NftOptions {
  readonly signal: AbortSignal;
  /** True to let the kernel validate the script without applying it. */
  readonly isDryRun?: boolean;
  readonly run?: RunProgram;
}

/** Runs a script in one nftables transaction. Returns the reason when the kernel rejects it, else undefined. */
export async function runNft(
  script: string,
  { signal, isDryRun = false, run = runProgram }: NftOptions,
): Promise<string | undefined> {
  const args = [...(isDryRun ? ["--check"] : []), "--file", "-"];
  return failureOf("nft", await run("nft", { args, input: script, timeoutMs: TIMEOUT_MS, signal }));
}

/** Returns a script that deletes a table, which need not exist. In front of a new definition it replaces the table. */
export function deleteTable(table: string): string {
  return `table ${table}\ndelete table ${table}\n`;
}

/**
 * Returns whether the output of `nft list chains ip` contains a chain. Listing all chains is cheap; `nft list chain`
 * reads the elements of every map in the table as well.
 */
export function hasChain(chains: string, table: string, chain: string): boolean {
  const [, ours = ""] = chains.split(`table ip ${table} {`);
  return ours.split("\n}")[0]?.includes(`chain ${chain} {`) === true;
}

/**
 * Collects the commands of one transaction and orders them so that nothing is referenced before it exists or deleted
 * while it is referenced.
 */
export class NftScript {
  readonly #table: string;
  readonly #chainDeletions: string[] = [];
  readonly #elementDeletions = new Map<string, string[]>();
  readonly #chains: string[] = [];
  readonly #rules: string[] = [];
  readonly #elements = new Map<string, string[]>();

  /** @param table default table of the commands, with its family: "ip berth" */
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
    this.#chainDeletions.push(`delete chain ${this.#table} ${name}`);
  }

  addRule(chain: string, rule: string): void {
    this.#rules.push(`add rule ${this.#table} ${chain} ${rule}`);
  }

  addElement(set: string, element: string, table = this.#table): void {
    append(this.#elements, `${table} ${set}`, element);
  }

  deleteElement(set: string, element: string, table = this.#table): void {
    append(this.#elementDeletions, `${table} ${set}`, element);
  }

  /** Returns the script, or "" if there is nothing to do. */
  text(): string {
    const lines = [
      ...this.#chainDeletions,
      ...[...this.#elementDeletions].map(([set, all]) => `delete element ${set} { ${all.join(", ")} }`),
      ...this.#chains,
      ...this.#rules,
      ...[...this.#elements].map(([set, all]) => `add element ${set} { ${all.join(", ")} }`),
    ];
    return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  }
}

function append(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
