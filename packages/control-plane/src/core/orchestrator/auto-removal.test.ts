import { JobStatus, Service, ServiceSpec } from "@berth/proto";
import { expect, test } from "vitest";
import { AUTO_REMOVE_AFTER_MS, decideAutoRemoval } from "./auto-removal.js";

const END = 1_000_000;
const SPEC = ServiceSpec.fromPartial({ autoRemove: true });

const serviceWith = (job: Partial<JobStatus>): Service =>
  Service.fromPartial({ templateVersion: 1, job: JobStatus.fromPartial({ templateVersion: 1, ...job }) });

test.each([
  ["it has no run", SPEC, Service.fromPartial({ templateVersion: 1 })],
  ["its run continues", SPEC, serviceWith({ endedAtMs: 0 })],
  ["its run had an earlier template", SPEC, serviceWith({ endedAtMs: END, templateVersion: 0 })],
  ["its spec does not ask for it", ServiceSpec.fromPartial({}), serviceWith({ endedAtMs: END })],
])("decideAutoRemoval() keeps a job when %s", (_, spec, service) => {
  expect(decideAutoRemoval(service, spec, END + AUTO_REMOVE_AFTER_MS)).toEqual({
    kind: "keep",
    dueTimesMs: [],
  });
});

test("decideAutoRemoval() removes a job a while after its run, failed or not", () => {
  const service = serviceWith({ endedAtMs: END, failed: true });
  const dueMs = END + AUTO_REMOVE_AFTER_MS;
  expect(decideAutoRemoval(service, SPEC, dueMs - 1)).toEqual({ kind: "keep", dueTimesMs: [dueMs] });
  expect(decideAutoRemoval(service, SPEC, dueMs)).toMatchObject({
    kind: "remove",
    update: { service: { removing: true, updatedAtMs: dueMs } },
  });
});
