import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BerthError,
  DeployPlan,
  type DeployStackRequest,
  FileKind,
  FileOutcome_Kind,
  PlannedStep_Kind,
} from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { FakeControlHandlers } from "../../../testing/fake-control.js";
import { berth } from "../../../testing/run-berth.js";

/** The tests wait in real time, and the machine may be busy. */
vi.setConfig({ testTimeout: 60_000 });

const { CREATE, REPLACE, STOP } = PlannedStep_Kind;
const PLAN = DeployPlan.fromPartial({
  rev: "3f9d0c2b7a41-9c1e",
  files: [
    { fileKind: FileKind.SECRET, name: "shop_key", kind: FileOutcome_Kind.UPDATED, version: 3 },
    { fileKind: FileKind.CONFIG, name: "shop_new", kind: FileOutcome_Kind.CREATED, version: 1 },
    { fileKind: FileKind.CONFIG, name: "shop_same", kind: FileOutcome_Kind.UNCHANGED, version: 1 },
    { fileKind: FileKind.CONFIG, name: "shop_old", kind: FileOutcome_Kind.REMOVED },
  ],
  services: [
    {
      name: "shop_web",
      kind: 2,
      fromVersion: 3,
      toVersion: 4,
      replacesTasks: true,
      rollout: "2 at a time, start-first, on failure: rollback",
      changes: [
        { path: "task.container.image", before: "nginx:1.27", after: "nginx:1.28" },
        { path: "task.container.env[MODE]", before: "", after: "live" },
        { path: "secret shop_key", before: "version 2", after: "version 3" },
      ],
      steps: [
        { kind: REPLACE, slot: 1, taskId: "a", fromHostname: "host-1", toHostname: "host-2", round: 1 },
        { kind: REPLACE, slot: 2, taskId: "b", fromHostname: "host-2", toHostname: "host-2", round: 1 },
        { kind: REPLACE, slot: 3, taskId: "c", fromHostname: "host-1", toHostname: "host-1", round: 2 },
      ],
      omittedSteps: 3,
    },
    {
      name: "shop_new",
      kind: 1,
      toVersion: 1,
      changes: [{ path: "task.container.image", before: "", after: "redis:7" }],
      steps: [
        { kind: CREATE, slot: 1, toHostname: "host-1", round: 1 },
        { kind: CREATE, slot: 2, round: 1, isUnplaced: true, reason: "2 nodes lack 1.5 GiB memory" },
      ],
      problems: ["2 slots: no node"],
    },
    {
      name: "shop_old",
      kind: 4,
      steps: [
        {
          kind: STOP,
          slot: 0,
          taskId: "d",
          fromHostname: "host-1",
          round: 1,
          reason: "its service is removed",
        },
      ],
    },
    {
      name: "shop_labels",
      kind: 2,
      fromVersion: 1,
      toVersion: 2,
      changes: [{ path: "labels.a", before: "x", after: "" }],
    },
    { name: "shop_db", kind: 3 },
  ],
});

describe("stack deploy --dry-run", () => {
  let cwd = "";
  beforeEach(async () => {
    cwd = await mkdtemp(join(tmpdir(), "berth-plan-"));
    await writeFile(join(cwd, "c.yaml"), "services: { web: { image: nginx } }\n");
  });
  afterEach(() => rm(cwd, { recursive: true }));

  const requests: DeployStackRequest[] = [];
  afterEach(() => {
    requests.length = 0;
  });
  const planning: NonNullable<FakeControlHandlers["deployStack"]> = async (request) => {
    requests.push(request);
    return { services: [], networks: [], files: [], warnings: [], plan: PLAN };
  };

  test("prints all changes and steps without deploying", async () => {
    const { code, out } = await berth(
      "stack deploy -c c.yaml --dry-run shop",
      { deployStack: planning },
      { cwd },
    );
    expect([code, out]).toMatchInlineSnapshot(`
      [
        0,
        "~ secret shop_key  version 3
      + config shop_new  new
      - config shop_old  removed
      ~ shop_web  version 3 → 4, replaces tasks, 2 at a time, start-first, on failure: rollback
          task.container.image: nginx:1.27 → nginx:1.28
          task.container.env[MODE]: live
          secret shop_key: version 2 → version 3
          1.  ~ shop_web.1  host-1 → host-2
              ~ shop_web.2  on host-2
          2.  ~ shop_web.3  on host-1
            … and 3 more
      + shop_new  new
          task.container.image: redis:7
          + shop_new.1  on host-1
          ! shop_new.2  no node: 2 nodes lack 1.5 GiB memory
          ! 2 slots: no node
      - shop_old  removed
          - shop_old.host-1  on host-1, its service is removed
      ~ shop_labels  version 1 → 2, in place, replaces no tasks
          labels.a: x → none
      = unchanged: shop_db

      1 service to create, 2 to update, 1 to remove; 2 tasks to create, 6 to replace, 1 to stop; 1 task without a node.
      To apply this plan, run: berth stack deploy … --plan-rev 3f9d0c2b7a41-9c1e shop
      ",
      ]
    `);
    expect(requests).toMatchObject([{ dryRun: true, planRev: "" }]);
  });

  test("prints colors on a terminal unless NO_COLOR is set", async () => {
    const line = "stack deploy -c c.yaml --dry-run shop";
    const colored = await berth(line, { deployStack: planning }, { cwd, isTty: true });
    expect(colored.out).toContain("\x1b[33m~\x1b[39m");
    const plain = await berth(line, { deployStack: planning }, { cwd, isTty: true, env: { NO_COLOR: "1" } });
    expect(plain.out).not.toContain("\x1b[");
  });

  test("-o json prints the complete plan with names of states", async () => {
    const { out } = await berth(
      "stack deploy -c c.yaml --dry-run -o json shop",
      { deployStack: planning },
      { cwd },
    );
    const plan = JSON.parse(out);
    expect(plan).toMatchObject({
      stack: "shop",
      planRev: "3f9d0c2b7a41-9c1e",
      secrets: [{ name: "shop_key", outcome: "updated", version: 3 }],
      configs: [{ name: "shop_new" }, { name: "shop_same" }, { name: "shop_old", outcome: "removed" }],
    });
    expect(plan.services[0]).toMatchObject({ name: "shop_web", outcome: "updated", omittedSteps: 3 });
    expect(plan.services[0].steps[0]).toMatchObject({
      kind: "replace",
      slot: 1,
      toHostname: "host-2",
      round: 1,
    });
  });

  test("prints when there are no changes", async () => {
    const plan = DeployPlan.fromPartial({ rev: "abc", services: [{ name: "shop_db", kind: 3 }] });
    const deployStack = async () => ({ services: [], networks: [], files: [], warnings: [], plan });
    const { out } = await berth("stack deploy -c c.yaml --dry-run shop", { deployStack }, { cwd });
    expect(out).toContain("= unchanged: shop_db\n\nNo changes.\n");
  });

  test("shows a plan that changes only secrets", async () => {
    const files = [{ fileKind: FileKind.SECRET, name: "shop_old", kind: FileOutcome_Kind.REMOVED }];
    const plan = DeployPlan.fromPartial({ rev: "abc", files });
    const deployStack = async () => ({ services: [], networks: [], files: [], warnings: [], plan });
    const { out } = await berth("stack deploy -c c.yaml --dry-run shop", { deployStack }, { cwd });
    expect(out).toBe(
      "- secret shop_old  removed\n\nNo changes to services.\nTo apply this plan, run: berth stack deploy … --plan-rev abc shop\n",
    );
  });

  test("--plan-rev is sent, and the current plan is printed when it has changed", async () => {
    const handlers: FakeControlHandlers = {
      deployStack: async (request, context) => {
        if (request.dryRun) return planning(request, context);
        requests.push(request);
        throw new BerthError({
          code: "BERTH_PLAN_CHANGED",
          message: "stack shop was not deployed: the plan has changed for shop_web; review it with --dry-run",
        });
      },
    };
    const { code, out, err } = await berth("stack deploy -c c.yaml --plan-rev old shop", handlers, { cwd });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("Current plan:\n~ secret shop_key  version 3\n");
    expect(err).toContain("\n~ shop_web  version 3 → 4");
    expect(err).toContain("review it with --dry-run\n(BERTH_PLAN_CHANGED)");
    expect(requests.map(({ dryRun, planRev }) => [dryRun, planRev])).toEqual([
      [false, "old"],
      [true, ""],
    ]);
  });

  test("--dry-run cannot be combined with --plan-rev", async () => {
    const { code } = await berth("stack deploy -c c.yaml --dry-run --plan-rev x shop", {}, { cwd });
    expect(code).toBe(2);
  });
});
