import { execFileSync } from "node:child_process";
import { memberKey } from "../../../packages/agent/src/dataplane/kernel/service-chain.js";

/** The effect of a ruleset, independent of its internal numbers and order. */
export interface ReadTable {
  /** The members of each frontend, sorted, one entry per turn. "source" comes first when the client's address selects. */
  readonly frontends: Readonly<Record<string, readonly string[]>>;
  /** The elements of the shared sets, sorted. */
  readonly sets: Readonly<Record<string, readonly string[]>>;
  /** Number of map entries that no rule refers to. */
  readonly orphans: number;
  readonly chains: readonly string[];
}

interface Listed {
  readonly map?: { name: string; elem?: [unknown, { concat?: unknown[]; jump?: { target: string } }][] };
  readonly set?: { name: string; elem?: unknown[] };
  readonly chain?: { name: string };
  readonly rule?: { chain: string; expr: unknown[] };
}

const SETS = ["remotes", "locals", "hairpins", "neighbors"];

/** Reads the ruleset of a network namespace as JSON. */
export function readTable(namespace: string): ReadTable {
  const text = execFileSync("ip", ["netns", "exec", namespace, "nft", "-j", "list", "table", "ip", "berth"], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const listed: readonly Listed[] = JSON.parse(text).nftables;
  const elements = new Map<string, string>();
  for (const { map } of listed) {
    if (map === undefined || !map.name.includes("-members")) continue;
    for (const [number, { concat }] of map.elem ?? [])
      elements.set(`${map.name}/${number}`, (concat ?? []).join(":"));
  }
  const frontends: Record<string, readonly string[]> = {};
  let reached = 0;
  for (const { map } of listed) {
    if (map === undefined || !["ports", "bound"].includes(map.name)) continue;
    for (const [key, verdict] of map.elem ?? []) {
      const members = membersOfChain(listed, verdict.jump?.target ?? "", elements);
      reached += members.filter((each) => each !== "source").length;
      frontends[`${map.name} ${JSON.stringify(key)}`] = members;
    }
  }
  const sets: Record<string, readonly string[]> = {};
  for (const { set } of listed) {
    if (set === undefined || !SETS.includes(set.name)) continue;
    sets[set.name] = (set.elem ?? []).map((each) => JSON.stringify(withoutCounter(each))).sort();
  }
  const chains = listed.flatMap(({ chain }) => (chain === undefined ? [] : [chain.name])).sort();
  return { frontends, sets, orphans: elements.size - reached, chains };
}

/** Returns the members that the first rule of a chain picks from. All other rules must pick from the same members. */
function membersOfChain(
  listed: readonly Listed[],
  chain: string,
  elements: ReadonlyMap<string, string>,
): readonly string[] {
  const rules = listed
    .filter(({ rule }) => rule?.chain === chain)
    .map(({ rule }) => JSON.stringify(rule?.expr));
  const rounds = rules.flatMap((rule) => {
    const isHash = rule.includes('"jhash"');
    const [mod, offset] = ["mod", "offset"].map((word) => new RegExp(`"${word}":(\\d+)`).exec(rule)?.[1]);
    const map = /"data":"@([\w-]+)"/.exec(rule)?.[1];
    if (map === undefined) return [];
    const found = Array.from({ length: Number(mod) }, (_, index) =>
      elements.get(`${map}/${memberKey(Number(offset) + index)}`),
    );
    const members = found.map((each) => each ?? "hole");
    return [isHash ? ["source", ...members] : members.sort()];
  });
  if (rounds.some((round) => JSON.stringify(round) !== JSON.stringify(rounds[0])))
    throw new Error(`rules pick from different members: ${rules}`);
  return rounds[0] ?? [];
}

function withoutCounter(element: unknown): unknown {
  return typeof element === "object" && element !== null && "elem" in element
    ? (element.elem as { val: unknown }).val
    : element;
}
