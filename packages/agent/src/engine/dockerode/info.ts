import { fieldOf, listOf, numberOf, textOf } from "../../core/docker/json.js";
import type { EngineInfo } from "../engine.js";
import type { DaemonVersion } from "./version.js";

/** Parses the answer to `GET /info`. */
export function parseInfo(json: unknown, daemon: DaemonVersion): EngineInfo {
  return {
    hostname: textOf(fieldOf(json, "Name")),
    os: textOf(fieldOf(json, "OSType")),
    architecture: textOf(fieldOf(json, "Architecture")),
    cpus: numberOf(fieldOf(json, "NCPU")),
    memoryBytes: numberOf(fieldOf(json, "MemTotal")),
    version: daemon.version,
    apiVersion: daemon.apiVersion,
    enclosure: enclosureOf(json),
    labels: Object.fromEntries(listOf(fieldOf(json, "Labels")).map((label) => splitLabel(textOf(label)))),
  };
}

/** Where containers have other network devices than the host: rootless Docker's, or a virtual machine's. */
function enclosureOf(json: unknown): string {
  const isRootless = listOf(fieldOf(json, "SecurityOptions")).some((one) => textOf(one) === "name=rootless");
  if (isRootless) return "rootless Docker";
  return textOf(fieldOf(json, "OperatingSystem")) === "Docker Desktop" ? "Docker Desktop" : "";
}

function splitLabel(label: string): [string, string] {
  const equals = label.indexOf("=");
  return equals < 0 ? [label, ""] : [label.slice(0, equals), label.slice(equals + 1)];
}
