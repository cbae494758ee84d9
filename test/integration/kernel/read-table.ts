import { execFileSync } from "node:child_process";
import { memberKey } from "../../../packages/agent/src/dataplane/kernel/service-chain.js";

/** What a table of the kernel does, without the numbers and the order that do not matter. */
export interface ReadTable {
  /** For each door: who stands behind it, sorted, as often as it is picked; "source" first if by the client's address. */
  readonly frontends: Readonly<Record<string, readonly string[]>>;
  /** The elements of the shared sets, sorted. */
  readonly sets: Readonly<Record<string, readonly string[]>>;
  /** Numbers in the maps of members that no rule leads to. */
  readonly orphans: number;
  readonly chains: readonly string[];
}

interface Listed {
  readonly map?: { name: string; elem?: [unknown, { concat?: unknown[]; jump?: { target: string } }][] };
  readonly set?: { name: string; elem?: unknown[] };
  readonly chain?: { name: string };
  readonly rule?: { chain: string; expr: unknown[] };
}

const SETS = ["remotes", "locals", "hairpins", "neighbours"];

/** Reads it back from the kernel, through nft's JSON. */
export function readTable(namespace: string): ReadTable {
  const text = execFileSync("ip", ["netns", "exec", namespace, "nft", "-j", "list", "table", "ip", "berth"], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const listed: readonly Listed[] = JSON.parse(text).nftables;
  const members = new Map<string, string>();
  for (const { map } of listed) {
    if (map === undefined || !map.name.includes("-members")) continue;
    for (const [number, { concat }] of map.elem ?? [])
      members.set(`${map.name}/${number}`, (concat ?? []).join(":"));
  }
  const doors: Record<string, readonly string[]> = {};
  let reached = 0;
  for (const { map } of listed) {
    if (map === undefined || !["ports", "bound"].includes(map.name)) continue;
    for (const [key, verdict] of map.elem ?? []) {
      const behind = membersOfChain(listed, verdict.jump?.target ?? "", members);
      reached += behind.filter((each) => each !== "source").length;
      doors[`${map.name} ${JSON.stringify(key)}`] = behind;
    }
  }
  const sets: Record<string, readonly string[]> = {};
  for (const { set } of listed) {
    if (set === undefined || !SETS.includes(set.name)) continue;
    sets[set.name] = (set.elem ?? []).map((each) => JSON.stringify(withoutCounter(each))).sort();
  }
  const chains = listed.flatMap(({ chain }) => (chain === undefined ? [] : [chain.name])).sort();
  return { frontends: doors, sets, orphans: members.size - reached, chains };
}

/** Follows the first pick of a chain; the others must be of the same members. */
function membersOfChain(
  listed: readonly Listed[],
  chain: string,
  members: ReadonlyMap<string, string>,
): readonly string[] {
  const rules = listed
    .filter(({ rule }) => rule?.chain === chain)
    .map(({ rule }) => JSON.stringify(rule?.expr));
  const picks = rules.flatMap((rule) => {
    const isHash = rule.includes('"jhash"');
    const [mod, offset] = ["mod", "offset"].map((word) => new RegExp(`"${word}":(\\d+)`).exec(rule)?.[1]);
    const map = /"data":"@([\w-]+)"/.exec(rule)?.[1];
    if (map === undefined) return [];
    const found = Array.from({ length: Number(mod) }, (_, index) =>
      members.get(`${map}/${memberKey(Number(offset) + index)}`),
    );
    const behind = found.map((each) => each ?? "hole");
    return [isHash ? ["source", ...behind] : behind.sort()];
  });
  if (picks.some((pick) => JSON.stringify(pick) !== JSON.stringify(picks[0])))
    throw new Error(`picks differ: ${rules}`);
  return picks[0] ?? [];
}

function withoutCounter(element: unknown): unknown {
  return typeof element === "object" && element !== null && "elem" in element
    ? (element.elem as { val: unknown }).val
    : element;
}
