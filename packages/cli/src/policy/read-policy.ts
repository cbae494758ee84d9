import {
  type AccessList,
  POLICY_FLAG_KEYS,
  POLICY_LIST_KEYS,
  Policy,
  PolicyRule,
  policyKey,
  validatePolicy,
} from "@berth/proto";
import { type Diagnostic, Diagnostics, findPlace, type Place } from "../compose/text/diagnostics.js";
import { createSource, decodeSource, type Source } from "../compose/text/source.js";
import {
  type Cursor,
  keyPlace,
  listFields,
  readFlag,
  readItems,
  readOneOrMore,
  readText,
  readTexts,
  rootCursor,
} from "../compose/tree/cursor.js";
import { applyKeys, type KeyTable, rule } from "../compose/tree/key-table.js";
import { isNull } from "../compose/tree/node.js";
import { parseYaml } from "../compose/tree/parse-yaml.js";

export interface ReadPolicy {
  /** Valid only if there are no diagnostics. */
  readonly policy: Policy;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Reads a policy file and collects all problems.
 *
 * @throws BerthError BERTH_COMPOSE_INVALID if the file is not text
 */
export function readPolicy(name: string, bytes: Uint8Array): ReadPolicy {
  const diagnostics = new Diagnostics();
  const source = decodeSource(name, bytes);
  const policy = Policy.fromPartial({});
  const [root, second] = parseYaml(source, diagnostics);
  if (root === undefined) {
    if (!diagnostics.hasErrors) {
      diagnostics.error(startOf(source), "the file is empty; use rules: [] for no rules");
    }
    return { policy, diagnostics: diagnostics.sorted() };
  }
  if (second !== undefined) {
    diagnostics.error({ position: second.position, path: "" }, "the file has more than one document");
  }
  const cursor = rootCursor(root, diagnostics);
  rejectNulls(cursor);
  applyKeys(cursor, POLICY_KEYS, policy);
  if (diagnostics.hasErrors) return { policy, diagnostics: diagnostics.sorted() };
  if (!listFields(cursor).has("rules")) diagnostics.error(cursor, "the file has no rules");
  const places = collectPlaces(cursor);
  for (const { path, message } of validatePolicy(policy)) diagnostics.error(findPlace(path, places), message);
  return { policy, diagnostics: diagnostics.sorted() };
}

function startOf(source: Source): Place {
  return { position: { source: createSource(source.name, ""), start: 0, end: 0 }, path: "" };
}

const POLICY_KEYS: KeyTable<Policy> = {
  rules: (cursor, policy) => {
    for (const item of readItems(cursor) ?? []) {
      const policyRule = PolicyRule.fromPartial({});
      applyKeys(item, RULE_KEYS, policyRule);
      policy.rules.push(policyRule);
    }
  },
};

const LIST_KEYS: KeyTable<AccessList> = {
  allow: rule(readTexts, (list, values) => {
    list.allow = { values: [...values] };
  }),
  deny: rule(readTexts, (list, values) => {
    list.deny = { values: [...values] };
  }),
};

const RULE_KEYS: KeyTable<PolicyRule> = {
  name: rule(readText, (policyRule, name) => {
    policyRule.name = name;
  }),
  stacks: (cursor, policyRule) => {
    const texts = readOneOrMore(cursor)?.map(readText) ?? [];
    policyRule.stacks = texts.filter((text) => text !== undefined);
  },
  ...Object.fromEntries(
    POLICY_FLAG_KEYS.map((flag) => [
      policyKey(flag),
      rule(readFlag, (policyRule: PolicyRule, value) => {
        policyRule[flag] = value;
      }),
    ]),
  ),
  ...Object.fromEntries(
    POLICY_LIST_KEYS.map((list) => [
      policyKey(list),
      (cursor: Cursor, policyRule: PolicyRule) => {
        const lists: AccessList = { allow: undefined, deny: undefined };
        applyKeys(cursor, LIST_KEYS, lists);
        policyRule[list] = lists;
      },
    ]),
  ),
};

/** Reports keys without a value. Such a key would count as absent and thus allow what it appears to restrict. */
function rejectNulls(cursor: Cursor): void {
  for (const child of childrenOf(cursor)) {
    if (isNull(child.node)) {
      child.diagnostics.error(keyPlace(child), "the value is missing");
    } else {
      rejectNulls(child);
    }
  }
}

/** Returns the places of all parts of the file by path, in the form that `validatePolicy` reports. */
function collectPlaces(cursor: Cursor, places = new Map<string, Place>()): ReadonlyMap<string, Place> {
  places.set(cursor.path, cursor);
  for (const child of childrenOf(cursor)) collectPlaces(child, places);
  return places;
}

function childrenOf(cursor: Cursor): Iterable<Cursor> {
  return cursor.node.kind === "list" ? (readItems(cursor) ?? []) : listFields(cursor).values();
}
