import type { ContainerSpec, PortSpec } from "@berth/proto";
import type { Parsed } from "../../../../compose/text/units.js";
import { type Edit, edit, inContainer } from "../edit.js";
import { invalid, nonEmptyText, replaced, value, without } from "../flag-values.js";
import { parsePortFlag, parsePortTarget } from "../parse-port-flag.js";

/** Published ports, and how a container finds others. */
export const NETWORK_EDITS = {
  "publish-rm": edit(parsePortTarget, (spec, removed) => ({
    ...spec,
    ports: without(
      spec.ports,
      ({ target, protocol }) => target === removed.target && protocol === removed.protocol,
    ),
  })),
  "publish-add": edit(parsePortFlag, (spec, added) => ({
    ...spec,
    ports: [...spec.ports.filter((port) => !added.some((one) => isSamePort(port, one))), ...added],
  })),
  "dns-rm": removal("dns"),
  "dns-add": addition("dns"),
  "dns-search-rm": removal("dnsSearch"),
  "dns-search-add": addition("dnsSearch"),
  "dns-option-rm": removal("dnsOptions"),
  "dns-option-add": addition("dnsOptions"),
  "host-rm": edit(
    nonEmptyText,
    inContainer(({ extraHosts }, text) => ({
      extraHosts: without(extraHosts, (entry) => entry === text || entry.startsWith(`${text}:`)),
    })),
  ),
  "host-add": edit(
    hostEntry,
    inContainer(({ extraHosts }, entry) => ({
      extraHosts: replaced(extraHosts, (one) => one === entry, entry),
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Published once more in the same place, it is the same port with other settings. */
function isSamePort(a: PortSpec, b: PortSpec): boolean {
  return a.target === b.target && a.protocol === b.protocol && a.published === b.published;
}

type DnsPart = keyof Pick<ContainerSpec, "dns" | "dnsSearch" | "dnsOptions">;

function removal(part: DnsPart): Edit {
  return edit(
    nonEmptyText,
    inContainer((container, text) => ({ [part]: without(container[part], (one) => one === text) })),
  );
}

function addition(part: DnsPart): Edit {
  return edit(
    nonEmptyText,
    inContainer((container, text) => ({ [part]: replaced(container[part], (one) => one === text, text) })),
  );
}

/** `db:10.0.0.5`, as Compose writes it; the address may have colons of its own. */
function hostEntry(text: string): Parsed<string> {
  return /^[^:\s]+:\S+$/.test(text) ? value(text) : invalid(`${JSON.stringify(text)} is not HOST:ADDRESS`);
}
