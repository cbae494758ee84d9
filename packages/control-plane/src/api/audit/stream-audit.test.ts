import { AuditRecord, AuditRecord_Kind, StreamAuditRequest } from "@berth/proto";
import { expect, it } from "vitest";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { streamAudit } from "./stream-audit.js";

const putRecord = (sequence: number): Change => ({
  kind: "put-audit",
  record: AuditRecord.fromPartial({ sequence, kind: AuditRecord_Kind.CHANGE }),
});

let revision = 0n;

function apply(state: ClusterState, ...changes: readonly Change[]): void {
  const committed = changes.map((change) => {
    revision += 1n;
    return { change, revision };
  });
  state.apply(committed);
}

it("ends when the term ends while the caller reads the warning about removed records", async () => {
  const state = new ClusterState();
  apply(state, putRecord(1), putRecord(2), putRecord(3));
  const term = new AbortController();
  const request = StreamAuditRequest.fromPartial({ follow: true });
  const stream = streamAudit(request, { state, signal: term.signal }, new AbortController().signal);
  expect(await stream.next()).toMatchObject({ value: { message: { value: { sequence: 1 } } } });
  expect(await stream.next()).toMatchObject({ value: { message: { value: { sequence: 2 } } } });
  expect(await stream.next()).toMatchObject({ value: { message: { value: { sequence: 3 } } } });
  const warning = stream.next();
  apply(state, putRecord(4), { kind: "delete-audit", sequence: 4 });
  expect(await warning).toMatchObject({
    value: { message: { $case: "warning", value: "1 record was removed before this call could read them" } },
  });
  term.abort(new Error("the term ended"));
  await expect(stream.next()).rejects.toThrow("the term ended");
});
