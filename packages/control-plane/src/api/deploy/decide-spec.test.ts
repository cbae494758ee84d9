import { Rollout, Service } from "@berth/proto";
import { expect, it } from "vitest";
import { rollbackTarget } from "../../core/orchestrator/rollback.js";
import { buildSpec } from "../../core/testing/records.js";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { decideSpec } from "./decide-spec.js";

const specWith = (image: string, replicas: number) =>
  buildSpec({
    task: { container: { image } },
    mode: { $case: "replicated", value: { replicas } },
  });

it("keeps the revisions that a rollback needs, however often the service was changed since", () => {
  const service = Service.fromPartial({
    id: "s1",
    spec: specWith("app:2", 29),
    version: 30,
    healthyVersion: 9,
    earlierHealthyVersions: [3],
    rollout: Rollout.fromPartial({ fromVersion: 9, toVersion: 30 }),
  });
  const changes: Change[] = [{ kind: "put-service", service }];
  for (let version = 1; version <= 30; version += 1) {
    const spec = specWith(version < 10 ? "app:1" : "app:2", version);
    changes.push({ kind: "put-revision", serviceId: "s1", version, spec });
  }
  const state = new ClusterState();
  state.apply(changes.map((change) => ({ change, revision: 1n })));
  const decision = decideSpec(state, specWith("app:2", 99), { id: "s1", nowMs: 1 });
  const deleted = decision.changes.flatMap((change) =>
    change.kind === "delete-revision" ? [change.version] : [],
  );
  expect(deleted).toEqual([1, 2, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  state.apply(decision.changes.map((change) => ({ change, revision: 2n })));
  const revisions = state.services.versions.ofService("s1");
  expect(rollbackTarget({ ...service, healthyVersion: 30 }, 0, revisions)).toMatchObject({ version: 30 });
  expect(rollbackTarget({ ...service, healthyVersion: 0 }, 0, revisions)).toMatchObject({ version: 3 });
});
