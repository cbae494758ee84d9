import type { Parsed } from "../../../../compose/text/units.js";
import { type Edit, edit, inContainer } from "../edit.js";
import { fullKeyValue, invalid, nonEmptyText, replaced, value, without, withoutKey } from "../flag-values.js";

/** What the kernel lets a container do. */
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
    ulimit,
    inContainer(({ ulimits }, added) => ({
      ulimits: replaced(ulimits, (limit) => limit.name === added.name, added),
    })),
  ),
  "group-rm": edit(
    nonEmptyText,
    inContainer(({ groupAdd }, group) => ({ groupAdd: without(groupAdd, (one) => one === group) })),
  ),
  "group-add": edit(
    nonEmptyText,
    inContainer(({ groupAdd }, group) => ({ groupAdd: replaced(groupAdd, (one) => one === group, group) })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** `NET_ADMIN` and `cap_net_admin` are the same. */
function isCapability(name: string): (other: string) => boolean {
  const bare = (capability: string): string => capability.toUpperCase().replace(/^CAP_/, "");
  return (other) => bare(other) === bare(name);
}

interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** `nofile=1024:2048`; -1 is no limit. */
function ulimit(text: string): Parsed<Ulimit> {
  const [, name, soft, hard = soft] = /^([a-z]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text) ?? [];
  if (name === undefined || soft === undefined || hard === undefined) {
    return invalid(`${JSON.stringify(text)} is not a ulimit: write it like nofile=1024:2048`);
  }
  return value({ name, soft: Number(soft), hard: Number(hard) });
}
