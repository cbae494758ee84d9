import { assertNever } from "@berth/proto";
import {
  CompareResult,
  CompareTarget,
  type ICompare,
  type IEvent,
  type IKeyValue,
  type IRequestOp,
  type IResponseOp,
} from "etcd3";
import type { Compare, Entry, Op, OpResult, Span, WatchEvent } from "../store.js";

const NO_LEASE = "0";

export function encodeSpan(span: Span): { key: Buffer; range_end?: Buffer } {
  if ("key" in span) return { key: Buffer.from(span.key) };
  return { key: Buffer.from(span.prefix), range_end: prefixEnd(span.prefix) };
}

/** The first key after all that start with the prefix. Keys are ASCII, so the last byte can always be raised. */
export function prefixEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return end;
}

export function encodeCompare(compare: Compare): ICompare {
  const key = Buffer.from(compare.key);
  switch (compare.kind) {
    case "absent":
      return { key, target: CompareTarget.Version, result: CompareResult.Equal, version: 0 };
    case "present":
      return { key, target: CompareTarget.Version, result: CompareResult.Greater, version: 0 };
    case "created-at":
      return {
        key,
        target: CompareTarget.Create,
        result: CompareResult.Equal,
        create_revision: String(compare.revision),
      };
    case "modified-at":
      return {
        key,
        target: CompareTarget.Mod,
        result: CompareResult.Equal,
        mod_revision: String(compare.revision),
      };
    default:
      return assertNever(compare);
  }
}

export function encodeOp(op: Op): IRequestOp {
  switch (op.kind) {
    case "get":
      return { request_range: { key: Buffer.from(op.key) } };
    case "put":
      return {
        request_put: {
          key: Buffer.from(op.key),
          value: Buffer.from(op.value),
          lease: op.leaseId ?? NO_LEASE,
        },
      };
    case "delete":
      return { request_delete_range: { key: Buffer.from(op.key) } };
    case "delete-prefix":
      return { request_delete_range: encodeSpan(op) };
    default:
      return assertNever(op);
  }
}

export function decodeResult(op: Op, response: IResponseOp): OpResult {
  switch (op.kind) {
    case "get":
      return { kind: "get", entry: decodeFirst(response) };
    case "put":
      return { kind: "put" };
    case "delete":
    case "delete-prefix":
      return { kind: "deleted", count: Number(response.response_delete_range.deleted) };
    default:
      return assertNever(op);
  }
}

/** The one entry that a get found. */
export function decodeFirst(response: IResponseOp): Entry | undefined {
  const [kv] = response.response_range.kvs;
  return kv && decodeEntry(kv);
}

export function decodeEntry(kv: IKeyValue): Entry {
  return {
    key: kv.key.toString(),
    value: kv.value.toString(),
    createRevision: BigInt(kv.create_revision),
    modRevision: BigInt(kv.mod_revision),
    ...(kv.lease !== NO_LEASE && { leaseId: kv.lease }),
  };
}

export function decodeEvent({ type, kv }: IEvent): WatchEvent {
  const changed = { key: kv.key.toString(), modRevision: BigInt(kv.mod_revision) };
  return type === "Delete"
    ? { kind: "delete", ...changed }
    : { kind: "put", ...changed, entry: decodeEntry(kv) };
}
