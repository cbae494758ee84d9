import { compareVersions } from "../../core/docker/api-version.js";
import { fieldOf, textOf } from "../../core/docker/json.js";
import { EngineError } from "../engine-error.js";

/** The newest version of the API whose changes this code has been checked against: Docker 28.5's. */
const NEWEST_API_VERSION = "1.51";
/** Docker 20.10's: older daemons lack the platform of a create and the cgroup namespace mode. */
const OLDEST_API_VERSION = "1.41";

export interface DaemonVersion {
  readonly version: string;
  readonly apiVersion: string;
}

/**
 * Picks the API version from the answer to `GET /version`: the daemon's newest, but none newer than is known here.
 * @throws EngineError api-version when there is none in common.
 */
export function negotiateVersion(json: unknown): DaemonVersion {
  const version = textOf(fieldOf(json, "Version"));
  const newest = textOf(fieldOf(json, "ApiVersion"));
  const oldest = textOf(fieldOf(json, "MinAPIVersion")) || "1.12";
  if (!/^\d+\.\d+$/.test(newest)) {
    throw new EngineError("api-version", "what answers at Docker's socket does not name its API version");
  }
  if (compareVersions(newest, OLDEST_API_VERSION) < 0) {
    throw new EngineError(
      "api-version",
      `Docker ${version} speaks API ${newest} at most; berth needs ${OLDEST_API_VERSION} (Docker 20.10) or newer`,
    );
  }
  if (compareVersions(oldest, NEWEST_API_VERSION) > 0) {
    throw new EngineError(
      "api-version",
      `Docker ${version} speaks API ${oldest} at least; this berth speaks ${NEWEST_API_VERSION} at most: upgrade berth`,
    );
  }
  const apiVersion = compareVersions(newest, NEWEST_API_VERSION) < 0 ? newest : NEWEST_API_VERSION;
  return { version, apiVersion };
}
