import { DnsListener, type DnsRequest, type DnsSockets } from "./dns-listener.js";
import { type DnsTable, EMPTY_DNS_TABLE } from "./dns-table.js";
import type { Forwarder } from "./forwarder.js";
import { type Answer, resolve } from "./lookup.js";
import { failureTo, parseRequest, replyTo } from "./message.js";
import { DnsIndex } from "./name-index.js";
import { demoteSuspects } from "./without-suspects.js";

/** A bridge that is still being made has no address yet, and a port that is taken may be free soon. */
const REOPEN_MS = 500;
/** From the start of a container until its address is known here: a program may ask at once for names. */
const NEWCOMER_MS = 500;
/** Questions of newcomers that wait at a time; more are answered at once. */
const MAX_NEWCOMERS = 1_000;

export interface DnsServerOptions {
  readonly forwarder: Forwarder;
  /** The servers that the host itself asks. */
  readonly hostResolvers: () => Promise<readonly string[]>;
  readonly random: () => number;
  readonly isVipActive: (vip: string) => boolean;
  readonly port: number;
  /** Sockets that another process has opened, by address. */
  readonly inherited?: ReadonlyMap<string, DnsSockets>;
  /** Called once for each address at which names cannot be answered, and why. */
  readonly onProblem: (trouble: DnsServerProblem) => void;
}

export interface DnsServerProblem {
  readonly address: string;
  /** The system's name for what is wrong: "EADDRINUSE". */
  readonly code: string;
}

/**
 * Answers the names of the cluster's services to the containers of this host, at the host's own address in each
 * network; asks others for all other names. Works on the last table that it was given.
 */
export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #inherited: Map<string, DnsSockets>;
  readonly #listeners = new Map<string, DnsListener>();
  readonly #troubles = new Map<string, string>();
  #table: DnsTable = EMPTY_DNS_TABLE;
  #index = new DnsIndex(EMPTY_DNS_TABLE);
  #suspects: ReadonlySet<string> = new Set();
  #onTable = new Set<() => void>();
  #work: Promise<void> = Promise.resolve();
  #reopen: NodeJS.Timeout | undefined;
  #isDrained = false;

  constructor(options: DnsServerOptions) {
    this.#options = options;
    this.#inherited = new Map(options.inherited);
  }

  /** Answers from this table at once; resolves when its addresses are open, as far as they can be. */
  update(table: DnsTable): Promise<void> {
    this.#table = table;
    this.#makeIndex();
    for (const tell of this.#onTable) tell();
    return this.#reconcileNext();
  }

  /** Tasks on these nodes are not answered where there are others; all of them, each time. */
  suspect(nodes: readonly string[]): void {
    this.#suspects = new Set(nodes);
    this.#makeIndex();
  }

  /** Addresses at which names are not answered now. */
  get problems(): readonly DnsServerProblem[] {
    return [...this.#troubles].map(([address, code]) => ({ address, code }));
  }

  /** Those that are open, by address; to be given to another process. */
  get sockets(): ReadonlyMap<string, DnsSockets> {
    return new Map([...this.#listeners].map(([address, { sockets }]) => [address, sockets]));
  }

  async close(): Promise<void> {
    await this.update(EMPTY_DNS_TABLE);
    clearTimeout(this.#reopen);
  }

  /** Leaves new questions to the process that has been given the sockets. Resolves when all older ones are answered. */
  async drain(): Promise<void> {
    this.#isDrained = true;
    await this.#work;
    clearTimeout(this.#reopen);
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all(listeners.map((listener) => listener.drain()));
  }

  #makeIndex(): void {
    this.#index = new DnsIndex(demoteSuspects(this.#table, this.#suspects));
  }

  #reconcileNext(): Promise<void> {
    this.#work = this.#work.then(() => this.#reconcile());
    return this.#work;
  }

  async #reconcile(): Promise<void> {
    clearTimeout(this.#reopen);
    if (this.#isDrained) return;
    const wanted = new Set(this.#table.networks.map(({ gateway }) => gateway));
    for (const [address, listener] of this.#listeners) {
      if (wanted.has(address)) continue;
      listener.close();
      this.#listeners.delete(address);
    }
    for (const address of this.#troubles.keys()) if (!wanted.has(address)) this.#troubles.delete(address);
    for (const address of wanted) if (!this.#listeners.has(address)) await this.#open(address);
    if (this.#troubles.size > 0) this.#reopen = setTimeout(() => void this.#reconcileNext(), REOPEN_MS);
  }

  async #open(address: string): Promise<void> {
    const { port, onProblem: onTrouble } = this.#options;
    try {
      const answer = (request: DnsRequest): Promise<Buffer | undefined> => this.#answer(request, address);
      const inherited = this.#inherited.get(address);
      // An address that is given up and comes back later is opened anew.
      this.#inherited.delete(address);
      this.#listeners.set(address, await DnsListener.open({ address, port, inherited, answer }));
      this.#troubles.delete(address);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
      if (this.#troubles.get(address) !== code) onTrouble({ address, code });
      this.#troubles.set(address, code);
    }
  }

  async #answer({ bytes, from, viaTcp }: DnsRequest, gateway: string): Promise<Buffer | undefined> {
    const parsed = parseRequest(bytes);
    if (parsed.kind === "ignore") return undefined;
    if (parsed.kind === "reject") return parsed.reply;
    const { request } = parsed;
    const { name, type } = request.question;
    const { random, isVipActive, forwarder, hostResolvers } = this.#options;
    const ask = (): Answer => resolve(this.#index, { name, type, from, gateway }, { random, isVipActive });
    let answer = ask();
    if (answer.kind === "unknown" && this.#index.client(from) === undefined) {
      await this.#untilKnown(from);
      answer = ask();
    }
    if (answer.kind === "forward") {
      const servers = answer.servers.length > 0 ? answer.servers : await hostResolvers();
      return (await forwarder.ask(bytes, servers, viaTcp)) ?? failureTo(request);
    }
    return replyTo(request, answer, { viaTcp });
  }

  /** Whoever asks may be a container that has just been started, whose networks nobody has told us yet. */
  #untilKnown(address: string): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#onTable.delete(look);
        resolve();
      };
      const look = (): void => {
        if (this.#index.client(address) !== undefined) finish();
      };
      const timer = setTimeout(finish, NEWCOMER_MS);
      if (this.#onTable.size < MAX_NEWCOMERS) this.#onTable.add(look);
      else finish();
    });
  }
}
