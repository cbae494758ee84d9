import { access } from "node:fs/promises";
import type { Logger } from "pino";
import { failureOf, type RunProgram, runProgram } from "../../runtime/run-program.js";
import type { DnsTable } from "../dns/dns-table.js";
import { CounterAccumulator } from "../kernel/counter-accumulator.js";
import { hasChain } from "../kernel/is-listed.js";
import { parseCounters } from "../kernel/kernel-statistics.js";
import { runNft } from "../kernel/nft.js";
import { sameVips, type Vips, vipsOf } from "./vip.js";
import { addressChanges, onBridge, presentVips, wantedVips } from "./vip-addresses.js";
import { forgetting, type GoneFlows, goneFlows } from "./vip-flows.js";
import { DELETE_VIP_TABLES, VIP_ENTRY_CHAIN, VIP_MAP, VIP_TABLE, VipRuleset } from "./vip-ruleset.js";

/** Without it what bridges carry is not seen by the kernel's tables, and answers would go past them. */
const BRIDGE_FILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables";
/** Somebody may flush the kernel's tables, or make a bridge anew. */
const CHECK_MS = 2_000;

const NONE: Vips = new Map();

/** Balances the virtual IPs of services over their tasks, in the kernel of this host. */
export class VipBalancer {
  readonly #log: Logger;
  readonly #run: RunProgram;
  readonly #stopping = new AbortController();
  readonly #table = new VipRuleset();
  #vips = NONE;
  /** As the kernel was last told. */
  #loaded = NONE;
  /** What is in the kernel's table is not known: all of it is loaded anew. */
  #mustLoad = true;
  /** Addresses that the host has, as "address bridge". Undefined: it has to be asked. */
  #present: ReadonlySet<string> | undefined;
  #inForce: ReadonlySet<string>;
  readonly #tally = new CounterAccumulator();
  #problem = "";
  #work: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  /** @param inForce what another process has balanced until now, and the kernel still does */
  constructor(log: Logger, run: RunProgram = runProgram, inForce: readonly string[] = []) {
    this.#log = log;
    this.#run = run;
    this.#inForce = new Set(inForce);
  }

  /** Connections to this virtual IP are balanced now. */
  isActive(vip: string): boolean {
    return this.#inForce.has(vip);
  }

  /** How many there have been to each virtual IP, from containers of this host. They grow until it is given up. */
  async connections(): Promise<ReadonlyMap<string, number>> {
    const counted = this.#work.then(() => this.#count());
    this.#work = counted;
    await counted;
    return new Map([...this.#vips.keys()].map((vip) => [vip, this.#tally.sumOf(vip)]));
  }

  /**
   * Resolves when no new connection goes to a task that is not in the table, and new virtual IPs are balanced; or when
   * it is known why they cannot be. Costs what has changed. Never rejects.
   */
  update(names: DnsTable): Promise<void> {
    const vips = vipsOf(names);
    const isSame = sameVips(vips, this.#vips);
    this.#vips = vips;
    if (!isSame) this.#work = this.#work.then(() => this.#apply());
    return this.#work;
  }

  /** @param isLast nobody takes over: what is ours in the kernel goes. */
  async close({ isLast }: { readonly isLast: boolean }): Promise<void> {
    clearTimeout(this.#timer);
    await this.#work;
    if (isLast && this.#vips.size > 0) {
      this.#vips = NONE;
      await this.#apply();
    }
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  /** The counters go with the whole table: they are read before. What cannot be read is not there. */
  async #count(): Promise<void> {
    if (this.#loaded.size === 0) return;
    const args = ["--json", "list", "map", "ip", VIP_TABLE, VIP_MAP];
    const shown = await this.#execute("nft", args).catch(() => undefined);
    if (shown !== undefined) this.#tally.update(parseCounters(shown), (vip) => vip);
    this.#tally.keepOnly((vip) => this.#vips.has(vip));
  }

  async #apply(): Promise<void> {
    clearTimeout(this.#timer);
    const vips = this.#vips;
    if (this.#mustLoad) await this.#count();
    try {
      // The rules before the addresses: an address without rules would lead to programs of this host.
      await this.#loadRules(vips);
      const present = await this.#setAddresses(vips);
      const there = [...vips.values()].filter((vip) => present.has(onBridge(vip)));
      const balanced = there.filter(({ address }) => this.#table.services.has(address));
      this.#inForce = new Set(balanced.map(({ address }) => address));
      const gone = goneFlows(this.#loaded, vips);
      this.#loaded = vips;
      // Nobody waits for it, and where conntrack is missing clients find out by themselves.
      void this.#forget(gone);
      this.#tell(there.length < vips.size ? "the bridge of a network is not there" : "");
    } catch (error) {
      this.#mustLoad = true;
      this.#present = undefined;
      this.#inForce = new Set();
      if (!this.#stopping.signal.aborted) this.#tell(error instanceof Error ? error.message : String(error));
    }
    this.#checkLater();
  }

  async #loadRules(vips: Vips): Promise<void> {
    if (vips.size === 0) {
      await this.#change(DELETE_VIP_TABLES);
      this.#mustLoad = true;
      return;
    }
    if (this.#mustLoad) {
      await access(BRIDGE_FILTER).catch(() => {
        throw new Error("the kernel module br_netfilter is not loaded (modprobe br_netfilter)");
      });
      await this.#change(this.#table.load(vips));
      this.#mustLoad = false;
      return;
    }
    let isDone = false;
    // What is newer goes on from there: after the first script nothing is picked that is not wanted.
    do {
      const change = this.#table.change(vips);
      if (change.script !== "") await this.#change(change.script);
      isDone = change.isComplete;
    } while (!isDone && this.#vips === vips);
  }

  /** Returns those that the host has then. */
  async #setAddresses(vips: Vips): Promise<ReadonlySet<string>> {
    const present = this.#present ?? (await this.#askForAddresses());
    const lines = addressChanges(present, vips);
    const input = `${lines.join("\n")}\n`;
    const { signal } = this.#stopping;
    const changed =
      lines.length === 0 ||
      (await this.#run("ip", { args: ["-force", "-batch", "-"], input, signal })).kind === "done";
    // What fails shows: a bridge may be gone, and the others still want theirs.
    this.#present = changed ? wantedVips(vips) : await this.#askForAddresses();
    return this.#present;
  }

  async #forget(gone: readonly GoneFlows[]): Promise<void> {
    const { signal } = this.#stopping;
    for (const flows of gone) {
      if (signal.aborted) return;
      await this.#run("conntrack", { args: forgetting(flows), signal }).catch(() => {});
    }
  }

  async #askForAddresses(): Promise<ReadonlySet<string>> {
    const shown = await this.#execute("ip", ["-json", "-4", "address", "show"]);
    return presentVips(JSON.parse(shown || "[]"));
  }

  /** Said once, however often it is tried. */
  #tell(problem: string): void {
    if (problem !== "" && problem !== this.#problem) {
      this.#log.warn({ reason: problem }, "virtual IPs are not balanced: names stand for tasks");
    }
    this.#problem = problem;
  }

  #checkLater(): void {
    if (this.#vips.size === 0 || this.#stopping.signal.aborted) return;
    this.#timer = setTimeout(() => this.#check(), CHECK_MS);
    this.#timer.unref();
  }

  #check(): void {
    this.#work = this.#work.then(async () => {
      const isIntact = await this.#isIntact().catch(() => false);
      if (isIntact) this.#checkLater();
      else await this.#apply();
    });
  }

  /** Looks at what is really there; what is missing, the next `#apply` makes. */
  async #isIntact(): Promise<boolean> {
    const chains = await this.#execute("nft", ["list", "chains", "ip"]);
    this.#mustLoad ||= !hasChain(chains, VIP_TABLE, VIP_ENTRY_CHAIN);
    this.#present = await this.#askForAddresses();
    return !this.#mustLoad && addressChanges(this.#present, this.#vips).length === 0;
  }

  async #change(script: string): Promise<void> {
    const failure = await runNft(script, { signal: this.#stopping.signal, run: this.#run });
    if (failure !== undefined) throw new Error(failure);
  }

  async #execute(program: string, args: readonly string[]): Promise<string> {
    const { signal } = this.#stopping;
    const result = await this.#run(program, { args, signal });
    if (result.kind === "done") return result.stdout;
    throw new Error(failureOf(program, result));
  }
}
