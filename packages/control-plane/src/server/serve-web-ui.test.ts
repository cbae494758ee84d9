import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ControlServiceService } from "@berth/proto";
import type { RpcHandlers, RpcIdentity } from "@berth/proto/rpc";
import { pino } from "pino";
import { expect, it, onTestFinished, vi } from "vitest";
import { serveWebUi } from "./serve-web-ui.js";

const IDENTITY: RpcIdentity = {
  current: { authorities: "", leaf: undefined },
  subscribe: () => () => {},
};

it("continues without the web UI if its files cannot be read", async () => {
  const directory = await mkdtemp(join(tmpdir(), "berth-web-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const file = join(directory, "file");
  await writeFile(file, "");
  const error = vi.fn();

  const webUi = await serveWebUi({
    web: "127.0.0.1:0",
    advertise: "127.0.0.1:7400",
    hosts: [],
    identity: IDENTITY,
    serverId: "s1",
    handlers: {} as RpcHandlers<typeof ControlServiceService>,
    filesDirectory: file,
    logger: Object.assign(pino({ level: "silent" }), { error }),
  });

  expect(webUi).toBeUndefined();
  expect(error).toHaveBeenCalledWith(
    { err: expect.objectContaining({ code: "ENOTDIR" }) },
    "cannot serve the web UI; continuing without it",
  );
});
