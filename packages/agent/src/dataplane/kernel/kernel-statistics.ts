import { fieldOf, listOf, numberOf } from "../../core/docker/json.js";
import { runProgram } from "../../runtime/run-program.js";
import { FRONTEND_MAPS, TABLE } from "./base-ruleset.js";
import { BALANCED_MARK } from "./marks.js";

/** What the kernel has counted since its table was loaded; an endpoint is `ADDRESS . PROTOCOL . PORT`. */
export interface KernelStatistics {
  /** Connections, or flows of UDP, that came to a door. */
  readonly doors: ReadonlyMap<string, number>;
  /** Those that were sent on, by endpoint. */
  readonly sent: ReadonlyMap<string, number>;
  /** Those that an endpoint refused, which their clients then tried elsewhere. */
  readonly refused: ReadonlyMap<string, number>;
  /** Those that are open, by endpoint. Empty if that cannot be seen: it takes the program conntrack. */
  readonly active: ReadonlyMap<string, number>;
}

/** Ended, or not begun: nobody uses such a connection. */
const IDLE_STATES = new Set(["TIME_WAIT", "CLOSE", "SYN_SENT", "LAST_ACK"]);

/**
 * Asks the kernel: some milliseconds, and more with many thousands of connections. Undefined: it does not say, which is
 * not to be taken for zero.
 */
export async function readStatistics(signal: AbortSignal): Promise<KernelStatistics | undefined> {
  const read = (kind: "set" | "map", name: string): Promise<ReadonlyMap<string, number> | undefined> =>
    readCounters({ kind, table: TABLE, name, signal });
  const [ports, bound, remotes, locals, refusals, connections] = await Promise.all([
    read("map", FRONTEND_MAPS.port),
    read("map", FRONTEND_MAPS.bound),
    read("set", "remotes"),
    read("set", "locals"),
    read("set", "refusals"),
    runProgram("conntrack", { args: ["--dump", "--mark", `${BALANCED_MARK}/${BALANCED_MARK}`], signal }),
  ]);
  if (ports === undefined || bound === undefined || refusals === undefined) return undefined;
  if (remotes === undefined || locals === undefined) return undefined;
  return {
    doors: new Map([...ports, ...bound]),
    sent: new Map([...remotes, ...locals]),
    refused: refusals,
    active: countConnections(connections.kind === "done" ? connections.stdout : ""),
  };
}

interface Counted {
  readonly kind: "set" | "map";
  readonly table: string;
  readonly name: string;
  readonly signal: AbortSignal;
}

/** The elements of a set or map with their counters; undefined: it cannot be read. */
async function readCounters({
  kind,
  table,
  name,
  signal,
}: Counted): Promise<ReadonlyMap<string, number> | undefined> {
  const result = await runProgram("nft", { args: ["--json", "list", kind, "ip", table, name], signal });
  return result.kind === "done" ? parseCounters(result.stdout) : undefined;
}

/** The same, from nft's JSON. Elements are named as nft takes them: `10.0.0.1 . tcp . 80`. */
export function parseCounters(json: string): ReadonlyMap<string, number> {
  const counters = new Map<string, number>();
  for (const listed of listOf(fieldOf(parseJson(json), "nftables"))) {
    const elements = fieldOf(fieldOf(listed, "set"), "elem") ?? fieldOf(fieldOf(listed, "map"), "elem");
    for (const item of listOf(elements)) {
      // Of a map: a pair of what is looked up and what is found.
      const element = fieldOf(Array.isArray(item) ? item[0] : item, "elem");
      const value = fieldOf(element, "val");
      const parts = listOf(fieldOf(value, "concat"));
      const name = (parts.length > 0 ? parts : [value]).map(String).join(" . ");
      counters.set(name, numberOf(fieldOf(fieldOf(element, "counter"), "packets")));
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
