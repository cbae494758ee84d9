import { type JsonObject, readBoolean, readEnum, readList, readNumber, readText } from "../json.js";

const AUTHORITY_STATES = ["announced", "issuing", "retiring", "removing"] as const;

/** The servers of the cluster with their etcd members, and the certificate authorities. */
export interface ControlPlane {
  readonly leaderAddress: string;
  readonly leaderVersion: string;
  readonly servers: readonly Server[];
  /** Voters of the embedded etcd. 0 when etcd is external. */
  readonly voters: number;
  readonly runningVoters: number;
  readonly authorities: readonly Authority[];
  readonly isRestorePending: boolean;
}

export interface Server {
  readonly id: string;
  readonly hostname: string;
  readonly address: string;
  readonly isUp: boolean;
  readonly isLeader: boolean;
  /** Empty unless it is up. */
  readonly version: string;
  /** 0 unless it is up. */
  readonly certificateExpiresAtMs: number;
  /** Empty if the server does not serve the web UI. */
  readonly webUrl: string;
  /** Empty without an embedded etcd. */
  readonly etcdMemberId: string;
  readonly isLearner: boolean;
  readonly isEtcdRunning: boolean;
}

export interface Authority {
  readonly fingerprint: string;
  readonly state: (typeof AUTHORITY_STATES)[number] | undefined;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly isOfEtcd: boolean;
}

export function decodeControlPlane(json: JsonObject): ControlPlane {
  return {
    leaderAddress: readText(json, "leaderAddress"),
    leaderVersion: readText(json, "leaderVersion"),
    servers: readList(json, "servers").map(decodeServer),
    voters: readNumber(json, "voters"),
    runningVoters: readNumber(json, "runningVoters"),
    authorities: readList(json, "authorities").map((authority) => ({
      fingerprint: readText(authority, "fingerprint"),
      state: readEnum(authority, "state", {
        prefix: "STATE_",
        values: AUTHORITY_STATES,
        fallback: undefined,
      }),
      createdAtMs: readNumber(authority, "createdAtMs"),
      expiresAtMs: readNumber(authority, "expiresAtMs"),
      isOfEtcd: readBoolean(authority, "isOfEtcd"),
    })),
    isRestorePending: readBoolean(json, "isRestorePending"),
  };
}

function decodeServer(json: JsonObject): Server {
  return {
    id: readText(json, "id"),
    hostname: readText(json, "hostname"),
    address: readText(json, "address"),
    isUp: readBoolean(json, "isUp"),
    isLeader: readBoolean(json, "isLeader"),
    version: readText(json, "version"),
    certificateExpiresAtMs: readNumber(json, "certificateExpiresAtMs"),
    webUrl: readText(json, "webUrl"),
    etcdMemberId: readText(json, "etcdMemberId"),
    isLearner: readBoolean(json, "isLearner"),
    isEtcdRunning: readBoolean(json, "isEtcdRunning"),
  };
}

/** Returns the URL of a server's web UI, or "" if it is not safe to link to. Only https is. */
export function safeWebUrl({ webUrl }: Server): string {
  return /^https:\/\/[^\s<>"]+$/.test(webUrl) ? webUrl : "";
}
