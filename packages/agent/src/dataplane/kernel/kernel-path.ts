import type { Logger } from "pino";
import { runProgram } from "../../runtime/run-program.js";
import { type IngressListener, type ListenerStats, listenerKey } from "../table/ingress-table.js";
import { DELETE_TABLE, ENTRY_CHAIN, TABLE } from "./base-ruleset.js";
import { disallowForwarding, ForwardingPermission } from "./forwarding.js";
import { hasChain } from "./is-listed.js";
import { KernelCounters } from "./kernel-counters.js";
import { type DesiredServices, frontendKey, type KernelService } from "./kernel-service.js";
import { type KernelStatistics, readStatistics } from "./kernel-statistics.js";
import { KernelTable } from "./kernel-table.js";
import { NatHooks } from "./nat-hooks.js";
import { runNft } from "./nft.js";
import { ReferenceCountedSet } from "./reference-counts.js";
import { deletionArguments, endsOnNodes, type FlowEnd, FlowEnds } from "./stale-connections.js";
import { promptClients } from "./syn-retransmit.js";
import { TableWatch } from "./table-watch.js";
import { parseUnanswered } from "./unanswered.js";
import { desiredService } from "./wanted.js";

/** Somebody may remove a rule in ways that nobody tells of. */
const CHECK_MS = 10_000;
/** After a failure, which leaves everything to the process that listens. */
const RETRY_MS = 5_000;

export interface KernelPathOptions {
  readonly log: Logger;
}

interface Known {
  readonly listener: IngressListener;
  readonly service: KernelService | undefined;
}

/** Connections that the kernel has to forget. */
interface Stale {
  readonly end: FlowEnd;
  /** Those that stand may live on. */
  readonly isUnansweredOnly: boolean;
}

interface Waiting {
  readonly change: number;
  resolve(): void;
}

/** The kernel's part of the balancing: keeps its table as the listeners and the suspicions of the moment ask for. */
export class KernelPath {
  readonly #log: Logger;
  readonly #table = new KernelTable();
  readonly #watch: TableWatch;
  readonly #hooks = new NatHooks();
  readonly #permission: ForwardingPermission;
  readonly #timer: NodeJS.Timeout;
  readonly #ends = new FlowEnds();
  /** Nodes that get new connections, by their endpoints. */
  readonly #serving = new ReferenceCountedSet();
  /** Of nodes that fell silent since the last change. */
  #silent: FlowEnd[] = [];
  readonly #counters = new KernelCounters();
  #reading: Promise<KernelStatistics | undefined> | undefined;
  readonly #known = new Map<string, Known>();
  readonly #wanted = new Map<string, KernelService>();
  #suspects: ReadonlySet<string> = new Set();
  #waiting: Waiting[] = [];
  #changes = 0;
  #isSettled = true;
  #mustLoad = true;
  #working: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #cleanup: Promise<void> = Promise.resolve();
  #problem: string | undefined;
  #isClosed = false;
  /** What runs when all is done that has to be. */
  readonly #over = new AbortController();

  constructor({ log }: KernelPathOptions) {
    this.#log = log;
    const checkTable = (): void => void this.#checkTable().catch(() => {});
    this.#permission = new ForwardingPermission(log, this.#over.signal);
    const checkForwarding = (): void => this.#permission.check();
    this.#watch = new TableWatch({ log, onTable: checkTable, onDocker: checkForwarding });
    this.#timer = setInterval(() => {
      checkTable();
      checkForwarding();
    }, CHECK_MS);
    checkForwarding();
  }

  /** Why the kernel does not balance at the moment, though it should. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /**
   * Makes the kernel balance these listeners, which listen already. Resolves when it picks no endpoint any more that
   * is not in them, or when it has failed and everything is left to the process that listens.
   */
  apply(listeners: Iterable<IngressListener>): Promise<void> {
    const gone = new Map(this.#known);
    let hasChanged = this.#mustLoad;
    for (const listener of listeners) {
      const key = listenerKey(listener);
      gone.delete(key);
      if (this.#known.get(key)?.listener === listener) continue;
      hasChanged = true;
      this.#forget(key);
      this.#learn(key, listener);
    }
    for (const key of gone.keys()) this.#forget(key);
    this.#fellSilent(new Set(this.#serving.drain().deleted));
    if (!hasChanged && gone.size === 0) return Promise.resolve();
    return this.#settle();
  }

  /** Endpoints on these nodes get no connections, as long as their service has others. */
  suspect(nodes: ReadonlySet<string>): Promise<void> {
    const concerned = new Set(
      [...nodes, ...this.#suspects].filter((node) => nodes.has(node) !== this.#suspects.has(node)),
    );
    if (concerned.size === 0) return Promise.resolve();
    const fallen = new Set([...nodes].filter((node) => !this.#suspects.has(node)));
    this.#fellSilent(fallen);
    this.#suspects = nodes;
    for (const [key, { listener }] of this.#known) {
      if (listener.endpoints.some(({ node = "" }) => concerned.has(node))) this.#want(key, listener);
    }
    return this.#settle();
  }

  /** However many ask at a time, the kernel is asked once: of two answers the older one could come last. */
  async addStatistics(stats: readonly ListenerStats[]): Promise<readonly ListenerStats[]> {
    if (!this.#mustLoad && !this.#isClosed) {
      this.#reading ??= readStatistics(this.#over.signal).finally(() => {
        this.#reading = undefined;
      });
      const statistics = await this.#reading;
      if (statistics !== undefined) this.#counters.look(this.#listeners, statistics);
    }
    return this.#counters.addTo(stats, this.#listeners);
  }

  /** Ends the work. @param isLast nobody takes the table over: it is removed, with everything else of ours */
  async close({ isLast }: { readonly isLast: boolean }): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#retry);
    this.#watch.close();
    this.#hooks.close();
    await this.#working;
    await this.#cleanup;
    await this.#permission.close();
    if (isLast) await removeTable(this.#over.signal);
    this.#over.abort();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  get #listeners(): readonly IngressListener[] {
    return [...this.#known.values()].map(({ listener }) => listener);
  }

  /**
   * Who waits for an endpoint there need not wait for it. By our own suspicion, or by the leader's, which leaves a node
   * with nothing but draining endpoints: nobody watches such a node here any more.
   */
  #fellSilent(nodes: ReadonlySet<string>): void {
    if (nodes.size > 0) this.#silent.push(...endsOnNodes(this.#listeners, nodes));
  }

  #learn(key: string, listener: IngressListener): void {
    this.#ends.add(listener);
    for (const { node = "" } of listener.endpoints) this.#serving.add(node);
    this.#want(key, listener);
  }

  #want(key: string, listener: IngressListener): void {
    const previous = this.#known.get(key)?.service;
    if (previous !== undefined) this.#wanted.delete(frontendKey(previous.frontend));
    const service = desiredService(listener, this.#suspects);
    this.#known.set(key, { listener, service });
    if (service !== undefined) this.#wanted.set(frontendKey(service.frontend), service);
  }

  #forget(key: string): void {
    const known = this.#known.get(key);
    if (known === undefined) return;
    this.#ends.remove(known.listener);
    for (const { node = "" } of known.listener.endpoints) this.#serving.remove(node);
    if (known.service !== undefined) this.#wanted.delete(frontendKey(known.service.frontend));
    this.#known.delete(key);
  }

  #settle(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#changes += 1;
    this.#isSettled = false;
    // The table was taken away: nothing is picked until the next attempt, which has all of it.
    if (this.#retry !== undefined) return Promise.resolve();
    const settled = new Promise<void>((resolve) => {
      this.#waiting.push({ change: this.#changes, resolve });
    });
    this.#work();
    return settled;
  }

  #work(): void {
    this.#working ??= this.#workOff().finally(() => {
      this.#working = undefined;
      if (!this.#isSettled && this.#retry === undefined && !this.#isClosed) this.#work();
    });
  }

  async #workOff(): Promise<void> {
    while (!this.#isSettled && this.#retry === undefined && !this.#isClosed) {
      const covered = this.#changes;
      const wanted: DesiredServices = this.#wanted;
      const { script, isComplete: isDone } = this.#mustLoad
        ? { script: this.#table.load(wanted), isComplete: true }
        : this.#table.change(wanted);
      this.#mustLoad = false;
      const stale = this.#takeStale();
      const failure = script === "" ? undefined : await runNft(script, { signal: this.#over.signal });
      if (failure !== undefined) await this.#fail(failure);
      else if (isDone && covered === this.#changes) this.#isSettled = true;
      if (failure === undefined) this.#succeed();
      this.#cleanUp(stale);
      this.#answer(covered);
    }
  }

  #answer(covered: number): void {
    const answered = this.#waiting.filter(({ change }) => change <= covered);
    this.#waiting = this.#waiting.filter(({ change }) => change > covered);
    for (const { resolve } of answered) resolve();
  }

  #succeed(): void {
    if (this.#problem !== undefined) this.#log.info("the kernel balances again");
    this.#problem = undefined;
  }

  /** A table that cannot be changed is stale soon: better none. */
  async #fail(reason: string): Promise<void> {
    this.#log.error({ reason }, "nft did not take the table: the process balances alone, and tries again");
    this.#problem = reason;
    this.#mustLoad = true;
    await runNft(DELETE_TABLE, { signal: this.#over.signal });
    if (this.#isClosed) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#work();
    }, RETRY_MS);
  }

  /** Taken before the change that lets no new ones follow, forgotten after it. */
  #takeStale(): readonly Stale[] {
    const silent = this.#silent;
    this.#silent = [];
    return [
      ...silent.map((end) => ({ end, isUnansweredOnly: true })),
      ...this.#ends.drain().map((end) => ({ end, isUnansweredOnly: false })),
    ];
  }

  /** One after the other, behind everything else. Clients that were waiting in vain go to another endpoint at once. */
  #cleanUp(stale: readonly Stale[]): void {
    for (const { end, ...which } of stale) {
      this.#cleanup = this.#cleanup.then(async () => {
        if (this.#isClosed) return;
        const { signal } = this.#over;
        const deleted = await runProgram("conntrack", { args: deletionArguments(end, which), signal });
        if (deleted.kind !== "done") return;
        const unanswered = parseUnanswered(deleted.stdout);
        this.#counters.repeated(unanswered, this.#listeners);
        await promptClients(unanswered, signal);
      });
    }
  }

  async #checkTable(): Promise<void> {
    if (this.#working !== undefined) await this.#working;
    if (this.#isClosed || this.#mustLoad) return;
    const found = await runProgram("nft", { args: ["list", "chains", "ip"], signal: this.#over.signal });
    // Who gets no answer, on a busy host, knows nothing: to load all of it anew would make it no better.
    if (found.kind !== "done" || hasChain(found.stdout, TABLE, ENTRY_CHAIN)) return;
    if (this.#isClosed || this.#working !== undefined) return;
    this.#log.warn("somebody removed the kernel's table: it is loaded again");
    this.#mustLoad = true;
    await this.#settle();
  }
}

/** Removes everything that an ingress process may have left in the kernel. */
export async function removeTable(signal: AbortSignal): Promise<void> {
  await runNft(DELETE_TABLE, { signal });
  await disallowForwarding(signal);
}
