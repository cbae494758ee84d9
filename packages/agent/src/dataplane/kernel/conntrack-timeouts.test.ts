import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect, it } from "vitest";
import { raiseConntrackTimeouts } from "./conntrack-timeouts.js";

it("raiseConntrackTimeouts() raises low timeouts and ignores high or missing ones", async () => {
  const directory = await mkdtemp(join(tmpdir(), "berth-conntrack-"));
  const [established, halfClosed] = ["established", "close_wait"].map((name) =>
    join(directory, `nf_conntrack_tcp_timeout_${name}`),
  ) as [string, string];
  const log = pino({ level: "silent" });
  writeFileSync(halfClosed, "60\n");
  await raiseConntrackTimeouts(log, directory);
  expect(readFileSync(halfClosed, "utf8")).toBe("3600");
  writeFileSync(established, "432000\n");
  writeFileSync(halfClosed, "7200\n");
  await raiseConntrackTimeouts(log, directory);
  expect([established, halfClosed].map((path) => readFileSync(path, "utf8"))).toEqual(["432000\n", "7200\n"]);
  rmSync(directory, { recursive: true });
});
