import { type ExecCommand, type ExecRequest, ExecRequest as Request } from "@berth/proto";
import { LOCAL_USER } from "@berth/proto/rpc";
import { describe, expect, it } from "vitest";
import { systemClock } from "../runtime/clock.js";
import type { ApiContext } from "./api-context.js";
import { exec } from "./exec.js";

async function* requestsFor(command: Partial<ExecCommand>): AsyncGenerator<ExecRequest> {
  yield Request.fromPartial({ message: { $case: "start", value: { target: "shop_web.1", command } } });
}

async function run(command: Partial<ExecCommand>): Promise<void> {
  const { signal } = new AbortController();
  // The command is checked before any other part of the context is used.
  const context = { runtime: { clock: systemClock }, signal } as unknown as ApiContext;
  const call = { signal, client: "c1", caller: LOCAL_USER };
  for await (const _ of exec(requestsFor(command), context, call)) break;
}

describe("exec", () => {
  it("rejects an empty command", async () => {
    await expect(run({ command: [] })).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
  });

  it("limits the size of a command in bytes rather than characters", async () => {
    // 100,000 characters of three bytes each exceed 256 KiB.
    const command = ["echo", "€".repeat(100_000)];
    await expect(run({ command })).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
  });
});
