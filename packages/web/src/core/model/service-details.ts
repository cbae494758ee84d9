import { type JsonObject, readList, readNumber, readObject, readOptionalNumber, readText } from "../json.js";

/** A version of a service that can be restored. */
export interface Revision {
  readonly version: number;
  readonly image: string;
}

/** A published port with the tasks that serve it. */
export interface Listener {
  readonly key: string;
  readonly published: number;
  readonly endpoints: readonly Endpoint[];
}

export interface Endpoint {
  readonly taskId: string;
  readonly nodeId: string;
  /** "address:port" */
  readonly address: string;
  /** Gets no new connections and keeps the existing ones. */
  readonly isDraining: boolean;
}

/** What the stream of changes does not have of a service. */
export interface ServiceDetails {
  /** The current version and the versions that can be restored, newest first. */
  readonly revisions: readonly Revision[];
  readonly listeners: readonly Listener[];
  /** Number of replicas in the spec. Undefined for other modes. */
  readonly replicas: number | undefined;
}

/** Reads the response of `GetService`. */
export function decodeServiceDetails(json: JsonObject): ServiceDetails {
  const spec = readObject(readObject(readObject(json, "service"), "service"), "spec");
  const replicated = readObject(spec, "replicated");
  return {
    revisions: readList(json, "revisions").map((revision) => ({
      version: readNumber(revision, "version"),
      image: readText(revision, "image"),
    })),
    listeners: readList(json, "ingress").map((entry) => ({
      key: readText(entry, "key"),
      published: readNumber(entry, "published"),
      endpoints: [
        ...readList(entry, "endpoints").map((endpoint) => decodeEndpoint(endpoint, false)),
        ...readList(entry, "draining").map((endpoint) => decodeEndpoint(endpoint, true)),
      ],
    })),
    replicas: "replicated" in spec ? (readOptionalNumber(replicated, "replicas") ?? 0) : undefined,
  };
}

function decodeEndpoint(json: JsonObject, isDraining: boolean): Endpoint {
  return {
    taskId: readText(json, "taskId"),
    nodeId: readText(json, "nodeId"),
    address: `${readText(json, "address")}:${readNumber(json, "port")}`,
    isDraining,
  };
}
