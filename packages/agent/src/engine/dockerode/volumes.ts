import type { CreateHostVolume, HostVolume } from "@berth/proto";
import { readEntries, readField, readList, readNumber, readString } from "../../core/docker/json.js";
import type { EngineCall, PrunedVolumes } from "../engine.js";
import { EngineError, isEngineError } from "../engine-error.js";
import type { EngineClient } from "./client.js";

/** Timeout of the removal of a volume. Docker removes its contents before it responds. */
const REMOVE_TIMEOUT_MS = 60_000;

/** The error for Docker before 23.0, which always removes named volumes as well. */
const UNKNOWN_FILTER = /invalid filter/i;

/** Lists volumes. Docker filters by use, but does not report it. */
export async function listVolumes(
  client: EngineClient,
  name: string,
  { signal }: EngineCall,
): Promise<HostVolume[]> {
  const list = async (filters: object): Promise<readonly unknown[]> => {
    const query = { filters: JSON.stringify(filters) };
    return readList(
      readField(await client.request({ method: "GET", path: "/volumes", query, signal }), "Volumes"),
    );
  };
  const path = volumePath(name);
  const [volumes, unused] = await Promise.all([
    name === "" ? list({}) : client.request({ method: "GET", path, signal }).then((volume) => [volume]),
    list({ dangling: ["true"] }),
  ]);
  const unusedNames = new Set(unused.map((volume) => readString(readField(volume, "Name"))));
  return volumes
    .map((volume) => parseVolume(volume, (each) => !unusedNames.has(each)))
    .sort((a, b) => a.name.localeCompare(b.name));
}

export async function createVolume(
  client: EngineClient,
  { name, driver, driverOpts, labels }: CreateHostVolume,
  { signal }: EngineCall,
): Promise<HostVolume> {
  const body = { Name: name, Driver: driver || "local", DriverOpts: driverOpts, Labels: labels };
  const json = await client.request({ method: "POST", path: "/volumes/create", body, signal });
  return parseVolume(json, () => false);
}

export async function removeVolume(
  client: EngineClient,
  name: string,
  { signal }: EngineCall,
): Promise<void> {
  await client.request({ method: "DELETE", path: volumePath(name), signal, timeoutMs: REMOVE_TIMEOUT_MS });
}

export async function pruneVolumes(
  client: EngineClient,
  all: boolean,
  { signal }: EngineCall,
): Promise<PrunedVolumes> {
  const call = { method: "POST", path: "/volumes/prune", signal, timeoutMs: REMOVE_TIMEOUT_MS } as const;
  const query = { filters: JSON.stringify({ all: [String(all)] }) };
  const json = await client.request({ ...call, query }).catch((error: unknown) => {
    if (!isEngineError(error) || !UNKNOWN_FILTER.test(error.message)) throw error;
    if (all) return client.request(call);
    const message =
      "this Docker version (before 23.0) also removes unused named volumes; use --all, or upgrade Docker";
    throw new EngineError("invalid", message, error);
  });
  return {
    removed: readList(readField(json, "VolumesDeleted")).map(readString),
    reclaimedBytes: readNumber(readField(json, "SpaceReclaimed")),
  };
}

function volumePath(name: string): string {
  return `/volumes/${encodeURIComponent(name)}`;
}

function parseVolume(json: unknown, isUsed: (name: string) => boolean): HostVolume {
  const name = readString(readField(json, "Name"));
  const textsOf = (field: string): { [key: string]: string } =>
    Object.fromEntries(readEntries(readField(json, field)).map(([key, value]) => [key, readString(value)]));
  return {
    name,
    driver: readString(readField(json, "Driver")),
    mountpoint: readString(readField(json, "Mountpoint")),
    labels: textsOf("Labels"),
    driverOpts: textsOf("Options"),
    createdAt: readString(readField(json, "CreatedAt")),
    inUse: isUsed(name),
  };
}
