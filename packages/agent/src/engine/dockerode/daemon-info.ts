import { compareVersions } from "@berth/proto";
import { readField, readList, readNumber, readString } from "../../core/docker/json.js";
import { HOST_ROOT, type HostIds } from "../../core/tasks/task-files.js";
import type { EngineInfo } from "../engine.js";
import { EngineError } from "../engine-error.js";

/** The newest API version that this code was reviewed against: that of Docker 28.5. */
const NEWEST_API_VERSION = "1.51";
/** The API version of Docker 20.10. Older daemons lack the platform at creation and the cgroup namespace mode. */
const OLDEST_API_VERSION = "1.41";

export interface DaemonVersion {
  readonly version: string;
  readonly apiVersion: string;
}

/**
 * Selects the API version from the response to `GET /version`: the newest that both sides support.
 *
 * @throws EngineError api-version if there is none
 */
export function negotiateVersion(json: unknown): DaemonVersion {
  const version = readString(readField(json, "Version"));
  const newest = readString(readField(json, "ApiVersion"));
  const oldest = readString(readField(json, "MinAPIVersion")) || "1.12";
  if (!/^\d+\.\d+$/.test(newest)) {
    throw new EngineError("api-version", "the response at Docker's socket has no API version");
  }
  if (compareVersions(newest, OLDEST_API_VERSION) < 0) {
    throw new EngineError(
      "api-version",
      `Docker ${version} supports API ${newest} at most, but berth requires ${OLDEST_API_VERSION}; upgrade Docker to 20.10 or newer`,
    );
  }
  if (compareVersions(oldest, NEWEST_API_VERSION) > 0) {
    throw new EngineError(
      "api-version",
      `Docker ${version} requires API ${oldest} or newer, but this release of berth supports ${NEWEST_API_VERSION} at most; upgrade berth`,
    );
  }
  const apiVersion = compareVersions(newest, NEWEST_API_VERSION) < 0 ? newest : NEWEST_API_VERSION;
  return { version, apiVersion };
}

/** Parses the response to `GET /info`. */
export function parseInfo(json: unknown, daemon: DaemonVersion): EngineInfo {
  return {
    hostname: readString(readField(json, "Name")),
    os: readString(readField(json, "OSType")),
    architecture: readString(readField(json, "Architecture")),
    cpus: readNumber(readField(json, "NCPU")),
    memoryBytes: readNumber(readField(json, "MemTotal")),
    version: daemon.version,
    apiVersion: daemon.apiVersion,
    isolation: isolationOf(json),
    containerRoot: containerRootOf(json),
    labels: Object.fromEntries(
      readList(readField(json, "Labels")).map((label) => splitLabel(readString(label))),
    ),
  };
}

/** Returns the environment in which containers have other network devices than the host, or "". */
function isolationOf(json: unknown): string {
  if (hasSecurityOption(json, "rootless")) return "rootless Docker";
  return readString(readField(json, "OperatingSystem")) === "Docker Desktop" ? "Docker Desktop" : "";
}

/** With userns-remap, the daemon's root directory ends with the host's IDs of root: "/var/lib/docker/231072.231072". */
function containerRootOf(json: unknown): HostIds {
  const [, uid, gid] = /\/(\d+)\.(\d+)$/.exec(readString(readField(json, "DockerRootDir"))) ?? [];
  return hasSecurityOption(json, "userns") ? { uid: Number(uid ?? 0), gid: Number(gid ?? 0) } : HOST_ROOT;
}

function hasSecurityOption(json: unknown, name: string): boolean {
  return readList(readField(json, "SecurityOptions")).some((option) => readString(option) === `name=${name}`);
}

function splitLabel(label: string): [string, string] {
  const equals = label.indexOf("=");
  return equals < 0 ? [label, ""] : [label.slice(0, equals), label.slice(equals + 1)];
}
