import { type RunProgram, runProgram } from "../../runtime/run-program.js";
import { markFilter } from "../kernel/service-chain.js";
import { HELD_MARK } from "./vip.js";

/** The kernel filters by the mark, so only held connections are listed. */
const LIST_HELD = ["--dump", "--proto", "tcp", "--mark", markFilter(HELD_MARK, { isUnansweredOnly: false })];
/** Timeout of `conntrack`. */
const PROGRAM_TIMEOUT_MS = 2_000;
/** Maximum number of clients that wait for their original port. */
const MAX_PENDING = 1_000;

/** A client, and the virtual IP that it is connected to. */
export interface VipClient {
  readonly address: string;
  readonly port: number;
  readonly vip: string;
}

/**
 * Finds the ports of virtual IPs that held clients have connected to. Their sockets show the port of the process, and
 * Node.js cannot read SO_ORIGINAL_DST, so `conntrack` lists the connections: once for all clients that wait.
 */
export class OriginalPorts {
  readonly #signal: AbortSignal;
  readonly #run: RunProgram;
  #pending: { readonly client: VipClient; readonly resolve: (port: number | undefined) => void }[] = [];
  #isListing = false;

  constructor(signal: AbortSignal, run: RunProgram = runProgram) {
    this.#signal = signal;
    this.#run = run;
  }

  /** Returns the port. Undefined when the kernel does not know it or too many clients wait. */
  find(client: VipClient): Promise<number | undefined> {
    if (this.#pending.length >= MAX_PENDING) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#pending.push({ client, resolve });
      if (!this.#isListing) void this.#listAll();
    });
  }

  async #listAll(): Promise<void> {
    this.#isListing = true;
    while (this.#pending.length > 0) {
      const pending = this.#pending;
      this.#pending = [];
      const ports = parseOriginalPorts(await this.#list());
      for (const { client, resolve } of pending) resolve(ports.get(keyOf(client)));
    }
    this.#isListing = false;
  }

  async #list(): Promise<string> {
    const options = { args: LIST_HELD, signal: this.#signal, timeoutMs: PROGRAM_TIMEOUT_MS };
    const result = await this.#run("conntrack", options).catch(() => undefined);
    return result?.kind === "done" ? result.stdout : "";
  }
}

/**
 * Returns the ports in conntrack's output by client. A line starts with the connection as the client sees it:
 * `tcp 6 86399 ESTABLISHED src=CLIENT dst=VIP sport=40000 dport=80 src=VIP dst=CLIENT sport=35353 dport=40000 …`.
 */
export function parseOriginalPorts(text: string): ReadonlyMap<string, number> {
  const ports = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, address, vip, clientPort, port] =
      / src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) /.exec(line) ?? [];
    if (address === undefined || vip === undefined) continue;
    ports.set(keyOf({ address, vip, port: Number(clientPort) }), Number(port));
  }
  return ports;
}

function keyOf({ address, port, vip }: VipClient): string {
  return `${address} ${port} ${vip}`;
}
