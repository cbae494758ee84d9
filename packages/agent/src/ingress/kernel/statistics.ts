import { fieldOf, listOf, numberOf, textOf } from "../../core/json.js";
import { BALANCED_TEXT } from "./marks.js";
import { runProgram } from "./run-program.js";
import { FELL_THROUGH } from "./service-chain.js";
import { TABLE } from "./skeleton.js";

/** What the kernel has done for one endpoint since its table was loaded. */
export interface KernelCounts {
  /** Connections, or flows of UDP. */
  readonly total: number;
  /** Those that are open. 0 if that cannot be seen: it takes the program conntrack. */
  readonly active: number;
  /** Connections that it refused, which their clients then tried elsewhere. */
  readonly refused: number;
}

export interface KernelStatistics {
  /** By `ADDRESS . PROTOCOL . PORT`. */
  readonly endpoints: ReadonlyMap<string, KernelCounts>;
  /** Connections for which it found no endpoint. */
  readonly fellThrough: number;
}

export const NO_STATISTICS: KernelStatistics = { endpoints: new Map(), fellThrough: 0 };

/** Ended, or not begun: nobody uses such a connection. */
const IDLE_STATES = new Set(["TIME_WAIT", "CLOSE", "SYN_SENT", "LAST_ACK"]);

/** Asks the kernel: some milliseconds, and more with many thousands of connections. What cannot be read counts nothing. */
export async function readStatistics(): Promise<KernelStatistics> {
  const list = (...what: readonly string[]): Promise<string> =>
    output("nft", ["--json", "list", what[0] ?? "", "ip", TABLE, what[1] ?? ""]);
  const [remotes, locals, refusals, fell, connections] = await Promise.all([
    list("set", "remotes"),
    list("set", "locals"),
    list("set", "refusals"),
    list("counter", FELL_THROUGH),
    output("conntrack", ["--dump", "--mark", `${BALANCED_TEXT}/${BALANCED_TEXT}`]),
  ]);
  const totals = new Map([...parseCounters(remotes), ...parseCounters(locals)]);
  const refused = parseCounters(refusals);
  const active = countConnections(connections);
  const endpoints = new Map<string, KernelCounts>();
  for (const [element, total] of totals) {
    endpoints.set(element, {
      total,
      active: active.get(element) ?? 0,
      refused: refused.get(element) ?? 0,
    });
  }
  const [, packets = "0"] = /"packets": ?(\d+)/.exec(fell) ?? [];
  return { endpoints, fellThrough: Number(packets) };
}

/** The elements of a set with their counters, from nft's JSON. */
export function parseCounters(json: string): ReadonlyMap<string, number> {
  const counters = new Map<string, number>();
  for (const listed of listOf(fieldOf(parseJson(json), "nftables"))) {
    for (const item of listOf(fieldOf(fieldOf(listed, "set"), "elem"))) {
      const element = fieldOf(item, "elem");
      const [address, protocol, port] = listOf(fieldOf(fieldOf(element, "val"), "concat"));
      const packets = numberOf(fieldOf(fieldOf(element, "counter"), "packets"));
      counters.set(`${textOf(address)} . ${textOf(protocol)} . ${numberOf(port)}`, packets);
    }
  }
  return counters;
}

/**
 * Open connections by who answers them, from lines such as
 * `tcp 6 431999 ESTABLISHED src=C dst=V sport=1 dport=80 src=E dst=C sport=8080 dport=1 [ASSURED] mark=…`.
 */
export function countConnections(text: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [protocol = "", , , state = ""] = line.split(/\s+/);
    if (IDLE_STATES.has(state)) continue;
    const [, address] = [...line.matchAll(/ src=(\S+)/g)].map(([, value]) => value);
    const [, port] = [...line.matchAll(/ sport=(\d+)/g)].map(([, value]) => value);
    if (address === undefined || port === undefined) continue;
    const element = `${address} . ${protocol} . ${port}`;
    counts.set(element, (counts.get(element) ?? 0) + 1);
  }
  return counts;
}

async function output(program: string, args: readonly string[]): Promise<string> {
  const result = await runProgram(program, { args });
  return result.kind === "done" ? result.stdout : "";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
