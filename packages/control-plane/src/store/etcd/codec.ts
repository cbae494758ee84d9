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

/** Returns the first key after all keys with the prefix. Keys are ASCII, so the last byte can always be incremented. */
function prefixEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return end;
}

export function encodeCompare(compare: Compare): ICompare {
  const key = Buffer.from(compare.key);
  const result = CompareResult.Equal;
  switch (compare.kind) {
    case "absent":
      return { key, result, target: CompareTarget.Version, version: 0 };
    case "created-at":
      return { key, result, target: CompareTarget.Create, create_revision: String(compare.revision) };
    case "modified-at":
      return { key, result, target: CompareTarget.Mod, mod_revision: String(compare.revision) };
    default:
      return assertNever(compare);
  }
}

export function encodeOp(op: Op): IRequestOp {
  const key = Buffer.from(op.key);
  switch (op.kind) {
    case "get":
      return { request_range: { key } };
    case "put":
      return { request_put: { key, value: Buffer.from(op.value), lease: op.leaseId ?? NO_LEASE } };
    case "delete":
      return { request_delete_range: { key } };
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
      return { kind: "deleted", count: Number(response.response_delete_range.deleted) };
    default:
      return assertNever(op);
  }
}

/** Decodes the result of a get. */
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
