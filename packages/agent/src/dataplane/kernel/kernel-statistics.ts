import { readField, readList, readNumber } from "../../core/docker/json.js";
import { runProgram } from "../../runtime/run-program.js";
import { FRONTEND_MAPS, TABLE } from "./base-ruleset.js";
import { BALANCED_MARK } from "./service-chain.js";

/** The kernel's counters since the table was loaded. Endpoints are named `ADDRESS . PROTOCOL . PORT`. */
export interface KernelStatistics {
  /** Connections and UDP flows, by frontend. */
  readonly frontends: ReadonlyMap<string, number>;
  /** Connections and UDP flows, by endpoint. */
  readonly sent: ReadonlyMap<string, number>;
  /** Connections that an endpoint refused and that the client retried, by endpoint. */
  readonly refused: ReadonlyMap<string, number>;
  /** Open connections, by endpoint. Empty if `conntrack` is not installed. */
  readonly active: ReadonlyMap<string, number>;
}

/** Conntrack states of connections that are closed or not yet established. */
const INACTIVE_STATES = new Set(["TIME_WAIT", "CLOSE", "SYN_SENT", "LAST_ACK"]);

/**
 * Reads the counters of the kernel path, which takes a few ms, or longer with many connections. Undefined if nft fails.
 */
export async function readStatistics(signal: AbortSignal): Promise<KernelStatistics | undefined> {
  const read = (kind: "set" | "map", name: string): Promise<ReadonlyMap<string, number> | undefined> =>
    readCounters(kind, name, signal);
  const [ports, bound, remotes, locals, refused, connections] = await Promise.all([
    read("map", FRONTEND_MAPS.port),
    read("map", FRONTEND_MAPS.bound),
    read("set", "remotes"),
    read("set", "locals"),
    read("set", "refusals"),
    runProgram("conntrack", { args: ["--dump", "--mark", `${BALANCED_MARK}/${BALANCED_MARK}`], signal }),
  ]);
  if (ports === undefined || bound === undefined || refused === undefined) return undefined;
  if (remotes === undefined || locals === undefined) return undefined;
  return {
    frontends: new Map([...ports, ...bound]),
    sent: new Map([...remotes, ...locals]),
    refused,
    active: countConnections(connections.kind === "done" ? connections.stdout : ""),
  };
}

/** Returns the counters of a set's or map's elements, or undefined if nft fails. */
async function readCounters(
  kind: "set" | "map",
  name: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number> | undefined> {
  const result = await runProgram("nft", { args: ["--json", "list", kind, "ip", TABLE, name], signal });
  return result.kind === "done" ? parseCounters(result.stdout) : undefined;
}

/** Parses nft's JSON for a set or map. Elements are named in nft's syntax: `10.0.0.1 . tcp . 80`. */
export function parseCounters(json: string): ReadonlyMap<string, number> {
  const counters = new Map<string, number>();
  for (const listed of readList(readField(parseJson(json), "nftables"))) {
    const elements =
      readField(readField(listed, "set"), "elem") ?? readField(readField(listed, "map"), "elem");
    for (const item of readList(elements)) {
      // Elements of a map are pairs of key and value.
      const element = readField(Array.isArray(item) ? item[0] : item, "elem");
      const key = readField(element, "val");
      const concatenated = readList(readField(key, "concat"));
      const name = (concatenated.length > 0 ? concatenated : [key]).map(String).join(" . ");
      counters.set(name, readNumber(readField(readField(element, "counter"), "packets")));
    }
  }
  return counters;
}

/**
 * Counts open connections by endpoint, the source of the reply direction. Lines of conntrack look like
 * `tcp 6 431999 ESTABLISHED src=C dst=V sport=1 dport=80 src=E dst=C sport=8080 dport=1 [ASSURED] mark=…`.
 */
export function countConnections(text: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [protocol = "", , , state = ""] = line.split(/\s+/);
    if (INACTIVE_STATES.has(state)) continue;
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
