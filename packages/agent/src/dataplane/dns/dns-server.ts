import { randomInt } from "node:crypto";
import { networkInterfaces } from "node:os";
import { isLoopback } from "@berth/proto";
import type { Logger } from "pino";
import { ClientQuota, type QuotaClient } from "./client-quota.js";
import { DnsIndex } from "./dns-index.js";
import { DnsListener, type DnsRequest, type DnsSockets } from "./dns-listener.js";
import { type DnsTable, demoteSuspects, EMPTY_DNS_TABLE } from "./dns-table.js";
import { Forwarder } from "./forwarder.js";
import { HostResolvers } from "./host-resolvers.js";
import { lookup, mayQuery } from "./lookup.js";
import { failureTo, parseRequest, replyTo } from "./message.js";

export const DNS_PORT = 53;
/**
 * Delay before an address that could not be opened is retried. A bridge that is being created has no address yet, and a
 * port in use may be released.
 */
const REOPEN_MS = 500;
/** How often the host's addresses are read. A host with many containers has many devices. */
const HOST_ADDRESSES_MS = 5_000;
/** How long a query from an unknown container waits. The agent may not have sent the networks of a new container yet. */
const NEW_CLIENT_TIMEOUT_MS = 500;
/** Limits of queries that wait for the networks of their client. Further queries are answered at once. */
const MAX_WAITING = { perClient: 10, perNetwork: 250, total: 1_000 } as const;
const RANDOM_STEPS = 2 ** 32;

export interface DnsServerOptions {
  readonly forwarder: Forwarder;
  /** Returns the servers that the host itself uses. */
  readonly hostResolvers: () => Promise<readonly string[]>;
  /** Returns a number from 0 up to 1. */
  readonly random: () => number;
  readonly isVipActive: (vip: string) => boolean;
  readonly port: number;
  /** Sockets of a predecessor, by address. */
  readonly inherited?: ReadonlyMap<string, DnsSockets>;
  /** Called when the server cannot listen at an address, once for each reason. */
  readonly onProblem: (problem: DnsServerProblem) => void;
}

/** An address at which the server cannot listen. */
export interface DnsServerProblem {
  readonly address: string;
  /** System error code: "EADDRINUSE" */
  readonly code: string;
}

/**
 * The DNS server of this host: resolves service names for containers, at the host's address in each network, and
 * forwards queries for external names. Keeps answering from the last table when the agent is gone.
 */
export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #inherited: Map<string, DnsSockets>;
  readonly #listeners = new Map<string, DnsListener>();
  /** System error codes by address. */
  readonly #problems = new Map<string, string>();
  readonly #onTableChange = new Set<() => void>();
  readonly #waiting = new ClientQuota(MAX_WAITING);
  #table: DnsTable = EMPTY_DNS_TABLE;
  #index = new DnsIndex(EMPTY_DNS_TABLE);
  #suspects: ReadonlySet<string> = new Set();
  #work: Promise<void> = Promise.resolve();
  #reopen: NodeJS.Timeout | undefined;
  #isDraining = false;
  #hostAddresses: ReadonlySet<string> = new Set();
  #hostAddressesMs = Number.NEGATIVE_INFINITY;

  constructor(options: DnsServerOptions) {
    this.#options = options;
    this.#inherited = new Map(options.inherited);
  }

  /** Answers from this table immediately. Resolves when the server listens at all available addresses of the table. */
  update(table: DnsTable): Promise<void> {
    this.#table = table;
    this.#rebuildIndex();
    for (const notify of this.#onTableChange) notify();
    return this.#scheduleReconcile();
  }

  /** Replaces the set of suspect nodes. Their tasks are omitted from answers while a service has others. */
  setSuspectNodes(nodes: readonly string[]): void {
    this.#suspects = new Set(nodes);
    this.#rebuildIndex();
  }

  /** Addresses at which the server currently cannot listen. */
  get problems(): readonly DnsServerProblem[] {
    return [...this.#problems].map(([address, code]) => ({ address, code }));
  }

  /** The open sockets by address, for a successor. */
  get sockets(): ReadonlyMap<string, DnsSockets> {
    return new Map([...this.#listeners].map(([address, { sockets }]) => [address, sockets]));
  }

  async close(): Promise<void> {
    await this.update(EMPTY_DNS_TABLE);
    clearTimeout(this.#reopen);
  }

  /** Leaves new queries to a successor that has the sockets. Resolves when pending queries are answered. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    await this.#work;
    clearTimeout(this.#reopen);
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all(listeners.map((listener) => listener.drain()));
  }

  #rebuildIndex(): void {
    this.#index = new DnsIndex(demoteSuspects(this.#table, this.#suspects));
  }

  #scheduleReconcile(): Promise<void> {
    this.#work = this.#work.then(() => this.#reconcile());
    return this.#work;
  }

  async #reconcile(): Promise<void> {
    clearTimeout(this.#reopen);
    if (this.#isDraining) return;
    const desired = new Set(this.#table.networks.map(({ gateway }) => gateway));
    for (const [address, listener] of this.#listeners) {
      if (desired.has(address)) continue;
      listener.close();
      this.#listeners.delete(address);
    }
    for (const address of this.#problems.keys()) if (!desired.has(address)) this.#problems.delete(address);
    for (const address of desired) if (!this.#listeners.has(address)) await this.#open(address);
    if (this.#problems.size > 0) {
      this.#reopen = setTimeout(() => void this.#scheduleReconcile(), REOPEN_MS);
    }
  }

  async #open(address: string): Promise<void> {
    const { port, onProblem } = this.#options;
    try {
      const answer = (request: DnsRequest): Promise<Buffer | undefined> => this.#answer(request, address);
      const inherited = this.#inherited.get(address);
      // An inherited socket is used once. If the address goes away and returns, a new one is opened.
      this.#inherited.delete(address);
      this.#listeners.set(address, await DnsListener.open({ address, port, inherited, answer }));
      this.#problems.delete(address);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
      if (this.#problems.get(address) !== code) onProblem({ address, code });
      this.#problems.set(address, code);
    }
  }

  async #answer({ bytes, from, isOverTcp }: DnsRequest, gateway: string): Promise<Buffer | undefined> {
    if (!mayQuery(this.#index, { from, gateway }) && !this.#isHostAddress(from)) return undefined;
    const parsed = parseRequest(bytes);
    if (parsed.kind === "ignore") return undefined;
    if (parsed.kind === "reject") return parsed.reply;
    const { request } = parsed;
    const { name, type } = request.question;
    const { random, isVipActive, forwarder, hostResolvers } = this.#options;
    const query = { name, type, from, gateway };
    const client = { address: from, gateway };
    let answer = lookup(this.#index, query, { random, isVipActive });
    if (answer.kind === "unknown" && this.#index.client(from) === undefined) {
      await this.#waitForClient(client);
      answer = lookup(this.#index, query, { random, isVipActive });
    }
    if (answer.kind === "forward") {
      const servers = answer.servers.length > 0 ? answer.servers : await hostResolvers();
      return (await forwarder.forward({ bytes, client, servers, isOverTcp })) ?? failureTo(request);
    }
    return replyTo(request, answer, { isOverTcp });
  }

  /** Returns whether an address belongs to this host. The kernel drops packets from other hosts with such a source. */
  #isHostAddress(address: string): boolean {
    if (isLoopback(address)) return true;
    const nowMs = performance.now();
    if (nowMs - this.#hostAddressesMs >= HOST_ADDRESSES_MS) {
      const devices = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
      this.#hostAddresses = new Set(devices.map((device) => device.address));
      this.#hostAddressesMs = nowMs;
    }
    return this.#hostAddresses.has(address);
  }

  /** Resolves when the table contains the client, which may be a container that has just started, or after 0.5 s. */
  async #waitForClient(client: QuotaClient): Promise<void> {
    if (!this.#waiting.tryAcquire(client)) return;
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#onTableChange.delete(check);
        resolve();
      };
      const check = (): void => {
        if (this.#index.client(client.address) !== undefined) finish();
      };
      const timer = setTimeout(finish, NEW_CLIENT_TIMEOUT_MS);
      this.#onTableChange.add(check);
    });
    this.#waiting.release(client);
  }
}

/**
 * Creates the DNS server of this host. It does not listen until it gets a table.
 *
 * @param inherited sockets of a predecessor, by address
 */
export function createDnsServer(
  log: Logger,
  isVipActive: (vip: string) => boolean,
  inherited: ReadonlyMap<string, DnsSockets>,
): DnsServer {
  const random = (): number => randomInt(RANDOM_STEPS) / RANDOM_STEPS;
  const now = (): number => performance.now();
  const resolvers = new HostResolvers("/etc/resolv.conf", now);
  return new DnsServer({
    forwarder: new Forwarder({ random, port: DNS_PORT, now }),
    hostResolvers: () => resolvers.servers(),
    random,
    isVipActive,
    inherited,
    port: DNS_PORT,
    onProblem: (problem) => log.warn({ ...problem }, describeDnsProblem(problem)),
  });
}

/** Returns a message that describes the failure, its cause and the remedy. */
export function describeDnsProblem({ address, code }: DnsServerProblem): string {
  const problem = `cannot serve DNS at ${address}:${DNS_PORT}`;
  switch (code) {
    case "EADDRINUSE":
      return `${problem}: another name server listens on port ${DNS_PORT} of all addresses; bind it to its own addresses`;
    case "EACCES":
      return `${problem}: ports below 1024 require root or CAP_NET_BIND_SERVICE`;
    case "EADDRNOTAVAIL":
      return `${problem}: the network's bridge does not exist`;
    default:
      return `${problem}: ${code}`;
  }
}
