import { isIP, isIPv4 } from "node:net";
import { fieldOf } from "../../core/docker/json.js";
import type { DnsClient, DnsNetwork, DnsService, DnsTable, DnsTask } from "../dns/dns-table.js";

/** Checked in full, since it opens ports; undefined when any part of it is not what it should be. */
export function parseNames(value: unknown): DnsTable | undefined {
  const networks = listOf(fieldOf(value, "networks"), isNetwork);
  const services = listOf(fieldOf(value, "services"), isService);
  const clients = listOf(fieldOf(value, "clients"), isClient);
  if (networks === undefined || services === undefined || clients === undefined) return undefined;
  return { networks, services, clients };
}

function isNetwork(value: unknown): value is DnsNetwork {
  const texts = ["id", "name", "stack", "subnet", "bridge"];
  return (
    texts.every((key) => isText(fieldOf(value, key))) &&
    isAddress(fieldOf(value, "gateway")) &&
    ["boolean", "undefined"].includes(typeof fieldOf(value, "isInternal"))
  );
}

function isService(value: unknown): value is DnsService {
  const texts = ["key", "networkId", "service", "stack"];
  const vip = fieldOf(value, "vip");
  return (
    texts.every((key) => isText(fieldOf(value, key))) &&
    listOf(fieldOf(value, "names"), isText) !== undefined &&
    (vip === "" || isAddress(vip)) &&
    ["boolean", "undefined"].includes(typeof fieldOf(value, "hasSourceAffinity")) &&
    ["endpoints", "draining"].every((key) => listOf(fieldOf(value, key), isEndpoint) !== undefined)
  );
}

function isEndpoint(value: unknown): value is DnsTask {
  return (
    isText(fieldOf(value, "id")) &&
    isText(fieldOf(value, "nodeId")) &&
    isAddress(fieldOf(value, "address")) &&
    typeof fieldOf(value, "slot") === "number"
  );
}

function isClient(value: unknown): value is DnsClient {
  return (
    isAddress(fieldOf(value, "address")) &&
    listOf(fieldOf(value, "networkIds"), isText) !== undefined &&
    listOf(fieldOf(value, "dns"), (one): one is string => isText(one) && isIP(one) !== 0) !== undefined
  );
}

function listOf<Item>(value: unknown, isItem: (item: unknown) => item is Item): readonly Item[] | undefined {
  return Array.isArray(value) && value.every(isItem) ? value : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isAddress(value: unknown): value is string {
  return typeof value === "string" && isIPv4(value);
}
