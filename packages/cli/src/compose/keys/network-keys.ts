import { isIP } from "node:net";
import { NetworkMode } from "@berth/proto";
import { didYouMean } from "../text/suggest.js";
import { type Cursor, keyPlace, readItems, readText, readTexts } from "../tree/cursor.js";
import { type KeyTable, rule } from "../tree/key-table.js";
import { readExternalLinks } from "./link-keys.js";
import { readNetworks, sortByDefaultRoute } from "./network-attachment-keys.js";
import type { ServiceDraft } from "./service-draft.js";
import { isSharedMode, shareNamespace } from "./sharing-keys.js";
import { ignoreKey } from "./unsupported-keys.js";

const NETWORK_MODES: ReadonlyMap<string, NetworkMode> = new Map([
  ["bridge", NetworkMode.BRIDGE],
  ["default", NetworkMode.BRIDGE],
  ["host", NetworkMode.HOST],
  ["none", NetworkMode.NONE],
]);

/** Reads the networks of a service, its DNS settings and its extra hosts. */
export const NETWORK_KEYS: KeyTable<ServiceDraft> = {
  network_mode: (cursor, draft) => {
    if (isSharedMode(cursor)) {
      shareNamespace("network", cursor, draft);
    } else {
      setNetworkMode(cursor, draft);
    }
  },
  networks: (cursor, draft) => {
    draft.origins.set("task.networks", keyPlace(cursor));
    readNetworks(cursor, draft);
  },
  extra_hosts: rule(readExtraHosts, (draft, hosts, cursor) => {
    draft.container.extraHosts = [...hosts];
    draft.origins.set("task.container.extra_hosts", keyPlace(cursor));
  }),
  dns: rule(readAddresses, (draft, addresses, cursor) => {
    draft.container.dns = [...addresses];
    draft.origins.set("task.container.dns", keyPlace(cursor));
  }),
  dns_search: rule(readTexts, (draft, domains) => {
    draft.container.dnsSearch = [...domains];
  }),
  dns_opt: rule(readTexts, (draft, options) => {
    draft.container.dnsOptions = [...options];
  }),
  expose: ignoreKey(),
  external_links: readExternalLinks,
  // Must follow `networks`: the address applies to the first network.
  mac_address: (cursor, draft) => {
    const [first] = sortByDefaultRoute(draft.networks);
    const address = readText(cursor)?.toLowerCase().replaceAll("-", ":");
    if (address === undefined) return;
    if (first === undefined) {
      cursor.diagnostics.warnIgnored(
        keyPlace(cursor),
        "ignored: the container joins no network that berth manages",
      );
    } else if (first.attachment.macAddress === "") {
      first.attachment.macAddress = address;
    }
  },
};

const setNetworkMode = rule<NetworkMode, ServiceDraft>(readNetworkMode, (draft, mode, cursor) => {
  draft.container.networkMode = mode;
  draft.origins.set("task.container.network_mode", cursor);
});

function readNetworkMode(cursor: Cursor): NetworkMode | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const mode = NETWORK_MODES.get(text);
  if (mode === undefined) {
    const hint = didYouMean(text, NETWORK_MODES.keys());
    const message = `${JSON.stringify(text)} is invalid; use bridge, host, none or service:NAME${hint}`;
    cursor.diagnostics.error(cursor, message);
  }
  return mode;
}

/** Reads a list of `HOST=ADDRESS`. Returns them as `HOST:ADDRESS`. */
export function readExtraHosts(cursor: Cursor): readonly string[] | undefined {
  return readItems(cursor)?.flatMap((item) => {
    const [host = "", address] = (readText(item) ?? "").split("=");
    return hostEntry(item, host, address);
  });
}

function hostEntry(cursor: Cursor, host: string, address: string | undefined): readonly string[] {
  if (address !== undefined && (address === "host-gateway" || isIP(address) !== 0)) {
    return [`${host}:${address}`];
  }
  const problem = address === undefined ? "no address" : `an invalid IP address ${JSON.stringify(address)}`;
  cursor.diagnostics.error(cursor, `the host ${JSON.stringify(host)} has ${problem}`);
  return [];
}

function readAddresses(cursor: Cursor): readonly string[] | undefined {
  return readItems(cursor)?.flatMap((item) => {
    const address = readText(item);
    if (address === undefined || isIP(address) !== 0) return address ?? [];
    item.diagnostics.error(item, `${JSON.stringify(address)} is not an IP address`);
    return [];
  });
}
