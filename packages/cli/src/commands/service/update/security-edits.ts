import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { type Edit, edit, inContainer } from "./edit.js";
import {
  parseAssignment,
  parseNonEmptyText,
  removeKey,
  removeMatching,
  replaceMatching,
} from "./parse-flag-values.js";

/** Flags that change the kernel's restrictions on a container. */
export const SECURITY_EDITS = {
  "oom-score-adj": edit(
    parseScore,
    inContainer((_, oomScoreAdj) => ({ oomScoreAdj })),
  ),
  "cap-add": edit(
    parseNonEmptyText,
    inContainer(({ capAdd, capDrop }, name) => ({
      capAdd: replaceMatching(capAdd, isCapability(name), name),
      capDrop: removeMatching(capDrop, isCapability(name)),
    })),
  ),
  "cap-drop": edit(
    parseNonEmptyText,
    inContainer(({ capAdd, capDrop }, name) => ({
      capAdd: removeMatching(capAdd, isCapability(name)),
      capDrop: replaceMatching(capDrop, isCapability(name), name),
    })),
  ),
  "sysctl-rm": edit(
    parseNonEmptyText,
    inContainer(({ sysctls }, key) => ({ sysctls: removeKey(sysctls, key) })),
  ),
  "sysctl-add": edit(
    parseAssignment,
    inContainer(({ sysctls }, { key, value }) => ({ sysctls: { ...sysctls, [key]: value } })),
  ),
  "ulimit-rm": edit(
    parseNonEmptyText,
    inContainer(({ ulimits }, name) => ({
      ulimits: removeMatching(ulimits, (limit) => limit.name === name),
    })),
  ),
  "ulimit-add": edit(
    parseUlimit,
    inContainer(({ ulimits }, added) => ({
      ulimits: replaceMatching(ulimits, (limit) => limit.name === added.name, added),
    })),
  ),
  "group-rm": edit(
    parseNonEmptyText,
    inContainer(({ groupAdd }, group) => ({
      groupAdd: removeMatching(groupAdd, (other) => other === group),
    })),
  ),
  "group-add": edit(
    parseNonEmptyText,
    inContainer(({ groupAdd }, group) => ({
      groupAdd: replaceMatching(groupAdd, (other) => other === group, group),
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Matches a capability under both of its names: `NET_ADMIN` and `cap_net_admin`. */
function isCapability(name: string): (other: string) => boolean {
  const normalized = (capability: string): string => capability.toUpperCase().replace(/^CAP_/, "");
  return (other) => normalized(other) === normalized(name);
}

/** Parses a whole number. The validation of the spec checks its range. */
function parseScore(text: string): Parsed<number> {
  return /^[-+]?\d{1,9}$/.test(text)
    ? valid(Number(text))
    : invalid(`${JSON.stringify(text)} is not a whole number from -1000 to 1000`);
}

interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** Parses `nofile=1024:2048`. -1 means unlimited. */
function parseUlimit(text: string): Parsed<Ulimit> {
  const [, name, soft, hard = soft] = /^([a-z]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text) ?? [];
  if (name === undefined || soft === undefined || hard === undefined) {
    return invalid(`${JSON.stringify(text)} is not a ulimit; use the form nofile=1024:2048`);
  }
  return valid({ name, soft: Number(soft), hard: Number(hard) });
}
