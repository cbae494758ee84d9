import { invalid, type Parsed, value } from "../../../compose/text/units.js";
import { type Edit, edit, inContainer } from "./edit.js";
import { fullKeyValue, nonEmptyText, replaced, without, withoutKey } from "./flag-values.js";

/** The flags that change the kernel's restrictions on a container. */
export const SECURITY_EDITS = {
  "cap-add": edit(
    nonEmptyText,
    inContainer(({ capAdd, capDrop }, name) => ({
      capAdd: replaced(capAdd, isCapability(name), name),
      capDrop: without(capDrop, isCapability(name)),
    })),
  ),
  "cap-drop": edit(
    nonEmptyText,
    inContainer(({ capAdd, capDrop }, name) => ({
      capAdd: without(capAdd, isCapability(name)),
      capDrop: replaced(capDrop, isCapability(name), name),
    })),
  ),
  "sysctl-rm": edit(
    nonEmptyText,
    inContainer(({ sysctls }, key) => ({ sysctls: withoutKey(sysctls, key) })),
  ),
  "sysctl-add": edit(
    fullKeyValue,
    inContainer(({ sysctls }, { key, value }) => ({ sysctls: { ...sysctls, [key]: value } })),
  ),
  "ulimit-rm": edit(
    nonEmptyText,
    inContainer(({ ulimits }, name) => ({ ulimits: without(ulimits, (limit) => limit.name === name) })),
  ),
  "ulimit-add": edit(
    parseUlimit,
    inContainer(({ ulimits }, added) => ({
      ulimits: replaced(ulimits, (limit) => limit.name === added.name, added),
    })),
  ),
  "group-rm": edit(
    nonEmptyText,
    inContainer(({ groupAdd }, group) => ({ groupAdd: without(groupAdd, (other) => other === group) })),
  ),
  "group-add": edit(
    nonEmptyText,
    inContainer(({ groupAdd }, group) => ({
      groupAdd: replaced(groupAdd, (other) => other === group, group),
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Matches a capability under both of its names: `NET_ADMIN` and `cap_net_admin`. */
function isCapability(name: string): (other: string) => boolean {
  const normalized = (capability: string): string => capability.toUpperCase().replace(/^CAP_/, "");
  return (other) => normalized(other) === normalized(name);
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
    return invalid(`${JSON.stringify(text)} is not a ulimit: use the form nofile=1024:2048`);
  }
  return value({ name, soft: Number(soft), hard: Number(hard) });
}
