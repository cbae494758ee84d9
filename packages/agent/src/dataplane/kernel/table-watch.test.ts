import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { TableWatch } from "./table-watch.js";

it("says once why it cannot watch, and has the rules looked at whenever it is started again", async () => {
  const warnings: unknown[] = [];
  let looks = 0;
  const watch = new TableWatch({
    log: { warn: (fields: unknown) => warnings.push(fields) },
    command: ["sh", "-c", "echo no right to do that >&2; exit 1"],
    onTableChanged: () => {
      looks += 1;
    },
    onOtherTableChanged: () => {},
  });
  await expect.poll(() => looks, { timeout: 3_000 }).toBe(1);
  await sleep(100);
  watch.close();
  expect(warnings).toEqual([{ reason: "no right to do that" }]);
});

it("only complains where a program cannot even be started", async () => {
  const reasons: string[] = [];
  const watch = new TableWatch({
    log: { warn: ({ reason }: { readonly reason: string }) => reasons.push(reason) },
    // No program can have such an argument: thrown, as want of memory is.
    command: ["true", "\0"],
    onTableChanged: () => {},
    onOtherTableChanged: () => {},
  });
  await expect.poll(() => reasons).toEqual([expect.stringContaining("null bytes")]);
  watch.close();
});

it("tells of what others change, not of berth's own chains", async () => {
  const notified: string[] = [];
  const lines = [
    "add chain ip berth-vips vip-10.64.0.2",
    "delete chain ip berth tcp/80",
    "add chain ip berth-hooks-7 output { type nat hook output priority 0; }",
  ];
  const watchOf = (...shown: readonly string[]): TableWatch =>
    new TableWatch({
      log: { warn: () => {} },
      command: ["sh", "-c", 'printf "%s\\n" "$@"; exec sleep 60', "sh", ...shown],
      onTableChanged: () => notified.push("table"),
      onOtherTableChanged: () => notified.push("docker"),
    });
  const own = watchOf(...lines);
  await expect.poll(() => notified).toEqual(["table"]);
  await sleep(50);
  expect(notified).toEqual(["table"]);
  own.close();
  const docker = watchOf("delete chain ip filter DOCKER");
  await expect.poll(() => notified).toEqual(["table", "docker"]);
  docker.close();
});
