import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { TableWatch } from "./table-watch.js";

it("TableWatch logs a failure of nft once but reports a change after each restart", async () => {
  const warnings: unknown[] = [];
  let changes = 0;
  const watch = new TableWatch({
    log: { warn: (fields: unknown) => warnings.push(fields) },
    command: ["sh", "-c", "echo permission denied >&2; exit 1"],
    onChainDeleted: () => {
      changes += 1;
    },
    onForeignChainChanged: () => {},
  });
  await expect.poll(() => changes, { timeout: 3_000 }).toBe(1);
  await sleep(100);
  watch.close();
  expect(warnings).toEqual([{ reason: "permission denied" }]);
});

it("TableWatch logs a warning when nft cannot be started", async () => {
  const reasons: string[] = [];
  const watch = new TableWatch({
    log: { warn: ({ reason }: { readonly reason: string }) => reasons.push(reason) },
    // spawn throws for an argument with a null byte, as it does when memory is short.
    command: ["true", "\0"],
    onChainDeleted: () => {},
    onForeignChainChanged: () => {},
  });
  await expect.poll(() => reasons).toEqual([expect.stringContaining("null bytes")]);
  watch.close();
});

it("TableWatch reports changes by other programs, not of berth's own chains", async () => {
  const notified: string[] = [];
  const lines = [
    "add chain ip berth-vips vip-10.64.0.2",
    "delete chain ip berth tcp/80",
    "add chain ip berth-hooks-7 output { type nat hook output priority 0; }",
  ];
  const watchOf = (...output: readonly string[]): TableWatch =>
    new TableWatch({
      log: { warn: () => {} },
      command: ["sh", "-c", 'printf "%s\\n" "$@"; exec sleep 60', "sh", ...output],
      onChainDeleted: () => notified.push("table"),
      onForeignChainChanged: () => notified.push("docker"),
    });
  const ownChanges = watchOf(...lines);
  await expect.poll(() => notified).toEqual(["table"]);
  await sleep(50);
  expect(notified).toEqual(["table"]);
  ownChanges.close();
  const dockerChanges = watchOf("delete chain ip filter DOCKER");
  await expect.poll(() => notified).toEqual(["table", "docker"]);
  dockerChanges.close();
});
