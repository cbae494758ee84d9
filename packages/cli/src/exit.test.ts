import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { reportError } from "./exit.js";
import { fakeCli } from "./testing/fake-cli.js";

test("reportError says that the disk is full, in text and JSON, and not that berth has a bug", async () => {
  // Linux fails every write to this device with ENOSPC.
  const error = await writeFile("/dev/full", "text").catch((reason: unknown) => reason);
  const cli = fakeCli();
  expect(await reportError(error, cli, "table")).toBe(1);
  expect(cli.err()).toBe(
    "error: cannot use a file: the disk is full; free some space on it (ENOSPC)\n(BERTH_DISK_FAILED)\n",
  );
  const json = fakeCli();
  await reportError(error, json, "json");
  expect(JSON.parse(json.err())).toMatchObject({ error: { code: "BERTH_DISK_FAILED" } });
});
