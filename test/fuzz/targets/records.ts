import {
  FileVersion,
  Network,
  NetworkRange,
  Node,
  RegistryLogin,
  Service,
  ServiceSpec,
  Task,
  VirtualIp,
} from "@berth/proto";
import { parseRegistration } from "../../../packages/control-plane/src/server/server-registry.js";
import {
  changeKey,
  decodeEntry,
  deletionOfKey,
  encodeValue,
} from "../../../packages/control-plane/src/state/change.js";
import { ClusterState } from "../../../packages/control-plane/src/state/cluster-state.js";
import { parseKey, ROOT } from "../../../packages/control-plane/src/store/keys.js";
import { check, checkEqual } from "../engine/expect.js";
import type { Target } from "../engine/target.js";
import { DESCRIPTION, NETWORK_SPEC, SPEC, STATUS } from "./samples.js";

/** One record of each kind, by key below the root. */
const RECORDS: Readonly<Record<string, unknown>> = {
  "services/s1": Service.toJSON(Service.fromPartial({ id: "s1", version: 1, spec: SPEC })),
  "names/shop_web": { serviceId: "s1" },
  "revisions/s1/000000000001": ServiceSpec.toJSON(SPEC),
  "tasks/s1/t1": Task.toJSON(
    Task.fromPartial({ id: "t1", serviceId: "s1", nodeId: "h1", slot: 1, specVersion: 1, status: STATUS }),
  ),
  "nodes/h1": Node.toJSON(Node.fromPartial({ id: "h1", description: DESCRIPTION, labels: { zone: "a" } })),
  "networks/n1": Network.toJSON(
    Network.fromPartial({ id: "n1", spec: NETWORK_SPEC, subnet: "10.64.0.0/18" }),
  ),
  "ranges/n1/h1": NetworkRange.toJSON(
    NetworkRange.fromPartial({ networkId: "n1", nodeId: "h1", range: "10.64.1.0/24" }),
  ),
  "vips/n1/s1": VirtualIp.toJSON(
    VirtualIp.fromPartial({ networkId: "n1", serviceId: "s1", address: "10.64.0.2" }),
  ),
  "files/f1": FileVersion.toJSON(
    FileVersion.fromPartial({
      id: "f1",
      kind: 1,
      name: "shop_key",
      version: 1,
      stack: "shop",
      sealedContent: Buffer.from("sealed"),
    }),
  ),
  "logins/l1": RegistryLogin.toJSON(
    RegistryLogin.fromPartial({
      id: "l1",
      server: "ghcr.io",
      stack: "shop",
      username: "ci",
      updatedAtMs: 1,
      sealedSecret: Buffer.from("sealed"),
    }),
  ),
};

export const RECORD_TARGETS: readonly Target[] = [
  {
    name: "etcd-record",
    format: "json",
    // One document with all records, so that mutations can move values between records.
    seeds: [JSON.stringify(RECORDS)],
    run: (bytes) => {
      for (const [path, record] of entriesOf(bytes.toString())) {
        const entry = { key: `${ROOT}${path}`, value: record, createRevision: 1n, modRevision: 1n };
        const decoded = decodeEntry(entry);
        if (decoded.kind !== "put") continue;
        check(changeKey(decoded.put) === entry.key, "a record is stored under its key");
        // protobuf's JSON conversion loses the map key `__proto__`.
        const stored = decodeEntry({ ...entry, value: encodeValue(decoded.put) ?? "" });
        check(stored.kind === "put", "a record can be stored again");
        const again = decodeEntry({ ...entry, value: encodeValue(stored.put) ?? "" });
        checkEqual(again, stored, "a record keeps its values");
        new ClusterState().apply([{ change: decoded.put, revision: 1n }]);
      }
    },
  },
  {
    name: "etcd-key",
    seeds: Object.keys(RECORDS).map((path) => `${ROOT}${path}`),
    maxBytes: 2_048,
    run: (bytes) => {
      const key = bytes.toString();
      parseKey(key);
      const deletion = deletionOfKey(key);
      check(deletion === undefined || changeKey(deletion) === key, "a deletion has the key of its record");
    },
  },
  {
    name: "server-address",
    format: "json",
    seeds: [
      '{"address":"10.0.0.1:7400","version":"0.1.0"}',
      JSON.stringify({
        address: "10.0.0.1:7400",
        id: "s1",
        hostname: "host",
        version: "0.1.0",
        authorities: ["a".repeat(64)],
        schema: { oldest: 1, newest: 2 },
        certificateExpiresAtMs: 1,
      }),
    ],
    run: (bytes) => {
      const record = parseRegistration(bytes.toString());
      if (record === undefined) return;
      check(record.authorities.length <= 16, "a server names at most 16 authorities");
      checkEqual(parseRegistration(JSON.stringify(record)), record, "a record is kept");
    },
  },
];

/** Returns the records of a document as JSON texts. Input that is not JSON becomes the value of a service. */
function entriesOf(text: string): readonly (readonly [string, string])[] {
  try {
    return Object.entries(Object(JSON.parse(text))).map(([path, record]) => [path, JSON.stringify(record)]);
  } catch {
    return [["services/s1", text]];
  }
}
