import { access } from "node:fs/promises";
import type { Logger } from "pino";
import type { NamesTable } from "../../dns/names-table.js";
import { type RunProgram, runProgram } from "../../run-program.js";
import { parseCounters } from "../kernel/statistics.js";
import { Tally } from "../tally.js";
import { addressChanges, presentVips } from "./vip-addresses.js";
import { forgetting, type GoneFlows, goneFlows } from "./vip-flows.js";
import { REMOVE_VIPS, VIP_CHAIN, VIP_MAP, VIP_TABLE, type Vip, vipScript, vipsOf } from "./vip-script.js";

/** Without it what bridges carry is not seen by the kernel's tables, and answers would go past them. */
const BRIDGE_FILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables";
/** Somebody may flush the kernel's tables, or make a bridge anew. */
const CHECK_MS = 2_000;

/** Balances the virtual IPs of services over their tasks, in the kernel of this host. */
export class VipBalancer {
  readonly #log: Logger;
  readonly #run: RunProgram;
  readonly #stopping = new AbortController();
  #vips: readonly Vip[] = [];
  /** As the kernel was last told. */
  #loaded: readonly Vip[] = [];
  #inForce: ReadonlySet<string> = new Set();
  readonly #tally = new Tally();
  #problem = "";
  #work: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(log: Logger, run: RunProgram = runProgram) {
    this.#log = log;
    this.#run = run;
  }

  /** Connections to this virtual IP are balanced now. */
  isInForce(vip: string): boolean {
    return this.#inForce.has(vip);
  }

  /** How many there have been to each virtual IP, from containers of this host. They grow until it is given up. */
  async connections(): Promise<ReadonlyMap<string, number>> {
    const counted = this.#work.then(() => this.#count());
    this.#work = counted;
    await counted;
    return new Map(this.#vips.map(({ address }) => [address, this.#tally.of(address)]));
  }

  /** Resolves when new connections follow the table, or when it is known why they cannot. Never rejects. */
  update(names: NamesTable): Promise<void> {
    const vips = vipsOf(names);
    const isSame = JSON.stringify(vips) === JSON.stringify(this.#vips);
    this.#vips = vips;
    if (!isSame) this.#work = this.#work.then(() => this.#apply());
    return this.#work;
  }

  /** @param isLast nobody takes over: what is ours in the kernel goes. */
  async close({ isLast }: { readonly isLast: boolean }): Promise<void> {
    clearTimeout(this.#timer);
    await this.#work;
    if (isLast && this.#vips.length > 0) {
      this.#vips = [];
      await this.#apply();
    }
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  /** The counters go with the rules: they are read before. What cannot be read is not there. */
  async #count(): Promise<void> {
    if (this.#loaded.length === 0) return;
    const args = ["--json", "list", "map", "ip", VIP_TABLE, VIP_MAP];
    const shown = await this.#execute("nft", args).catch(() => undefined);
    if (shown !== undefined) this.#tally.look(parseCounters(shown), (vip) => vip);
    const wanted = new Set(this.#vips.map(({ address }) => address));
    this.#tally.keepOnly((vip) => wanted.has(vip));
  }

  async #apply(): Promise<void> {
    clearTimeout(this.#timer);
    const vips = this.#vips;
    await this.#count();
    try {
      const present = await this.#load(vips);
      const there = vips.filter(({ address, bridge }) => present.has(`${address} ${bridge}`));
      this.#inForce = new Set(there.map(({ address }) => address));
      const gone = goneFlows(this.#loaded, vips);
      this.#loaded = vips;
      // Nobody waits for it, and where conntrack is missing clients find out by themselves.
      void this.#forget(gone);
      this.#tell(there.length < vips.length ? "the bridge of a network is not there" : "");
    } catch (error) {
      this.#inForce = new Set();
      if (!this.#stopping.signal.aborted) this.#tell(error instanceof Error ? error.message : String(error));
    }
    this.#checkLater();
  }

  /** Returns the virtual IPs that the host has then. */
  async #load(vips: readonly Vip[]): Promise<ReadonlySet<string>> {
    if (vips.length > 0) {
      await access(BRIDGE_FILTER).catch(() => {
        throw new Error("the kernel module br_netfilter is not loaded (modprobe br_netfilter)");
      });
    }
    // The rules before the addresses: an address without rules would lead to programs of this host.
    await this.#execute("nft", ["-f", "-"], vips.length > 0 ? vipScript(vips) : REMOVE_VIPS);
    const lines = addressChanges(await this.#present(), vips);
    if (lines.length === 0) return this.#present();
    // What fails shows: a bridge may be gone, and the others still want theirs.
    await this.#run("ip", {
      args: ["-force", "-batch", "-"],
      input: `${lines.join("\n")}\n`,
      signal: this.#stopping.signal,
    });
    return this.#present();
  }

  async #forget(gone: readonly GoneFlows[]): Promise<void> {
    const { signal } = this.#stopping;
    for (const flows of gone) {
      if (signal.aborted) return;
      await this.#run("conntrack", { args: forgetting(flows), signal }).catch(() => {});
    }
  }

  async #present(): Promise<ReadonlySet<string>> {
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
    if (this.#vips.length === 0 || this.#stopping.signal.aborted) return;
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

  async #isIntact(): Promise<boolean> {
    if (this.#problem !== "") return false;
    await this.#execute("nft", ["list", "chain", "ip", VIP_TABLE, VIP_CHAIN]);
    return addressChanges(await this.#present(), this.#vips).length === 0;
  }

  async #execute(program: string, args: readonly string[], input = ""): Promise<string> {
    const { signal } = this.#stopping;
    const result = await this.#run(program, { args, input, signal });
    if (result.kind === "done") return result.stdout;
    throw new Error(result.kind === "missing" ? `${program} is not installed` : result.reason);
  }
}
