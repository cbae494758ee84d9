import { type ContainerSpec, EndpointMode, type PortSpec } from "@berth/proto";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { type Edit, edit, inContainer, inTask } from "./edit.js";
import { choiceParser, parseNonEmptyText, removeMatching, replaceMatching } from "./parse-flag-values.js";
import { parseNetworkFlag } from "./parse-network-flag.js";
import { parsePortFlag, parsePortTarget } from "./parse-port-flag.js";

const ENDPOINT_MODES = { vip: EndpointMode.VIP, dnsrr: EndpointMode.DNSRR };

/** Flags that change networks, published ports, DNS and extra hosts. */
export const NETWORK_EDITS = {
  "network-rm": edit(
    parseNonEmptyText,
    inTask(({ networks }, name) => ({
      networks: removeMatching(networks, ({ network }) => network === name),
    })),
  ),
  "network-add": edit(
    parseNetworkFlag,
    inTask(({ networks }, added) => ({
      networks: replaceMatching(networks, ({ network }) => network === added.network, added),
    })),
  ),
  "endpoint-mode": edit(choiceParser(ENDPOINT_MODES), (spec, endpointMode) => ({ ...spec, endpointMode })),
  "publish-rm": edit(parsePortTarget, (spec, removed) => ({
    ...spec,
    ports: removeMatching(
      spec.ports,
      ({ target, protocol }) => target === removed.target && protocol === removed.protocol,
    ),
  })),
  "publish-add": edit(parsePortFlag, (spec, added) => ({
    ...spec,
    ports: [
      ...removeMatching(spec.ports, (port) => added.some((other) => isSamePort(port, other))),
      ...added,
    ],
  })),
  "dns-rm": removeEdit("dns"),
  "dns-add": addEdit("dns"),
  "dns-search-rm": removeEdit("dnsSearch"),
  "dns-search-add": addEdit("dnsSearch"),
  "dns-option-rm": removeEdit("dnsOptions"),
  "dns-option-add": addEdit("dnsOptions"),
  "host-rm": edit(
    parseNonEmptyText,
    inContainer(({ extraHosts }, text) => ({
      extraHosts: removeMatching(extraHosts, (entry) => entry === text || entry.startsWith(`${text}:`)),
    })),
  ),
  "host-add": edit(
    parseHostEntry,
    inContainer(({ extraHosts }, entry) => ({
      extraHosts: replaceMatching(extraHosts, (other) => other === entry, entry),
    })),
  ),
} satisfies Readonly<Record<string, Edit>>;

/** Returns whether two ports differ at most in their mode and address. */
function isSamePort(a: PortSpec, b: PortSpec): boolean {
  return a.target === b.target && a.protocol === b.protocol && a.published === b.published;
}

type DnsPart = keyof Pick<ContainerSpec, "dns" | "dnsSearch" | "dnsOptions">;

function removeEdit(part: DnsPart): Edit {
  return edit(
    parseNonEmptyText,
    inContainer((container, text) => ({
      [part]: removeMatching(container[part], (other) => other === text),
    })),
  );
}

function addEdit(part: DnsPart): Edit {
  return edit(
    parseNonEmptyText,
    inContainer((container, text) => ({
      [part]: replaceMatching(container[part], (other) => other === text, text),
    })),
  );
}

/** Accepts `db:10.0.0.5` and `db:::1`, as in a Compose file. */
function parseHostEntry(text: string): Parsed<string> {
  return /^[^:\s]+:\S+$/.test(text) ? valid(text) : invalid(`${JSON.stringify(text)} is not HOST:ADDRESS`);
}
