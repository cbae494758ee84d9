import type { ExecRequest } from "@berth/proto";
import { expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const received: ExecRequest[] = [];

/** Runs no command: records the first request and reports exit code 3. */
const exec: NonNullable<FakeControlHandlers["exec"]> = async function* (requests) {
  for await (const request of requests) {
    received.push(request);
    break;
  }
  yield { output: { message: { $case: "exited", value: { exitCode: 3, error: "" } } } };
};

test("exec exits with the exit code of the command", async () => {
  expect((await berth("exec shop_web.1 false", { exec })).code).toBe(3);
});

test("exec -e NAME passes the variable on only if it is set", async () => {
  received.length = 0;
  await berth("exec -e SET -e UNSET -e A=1 shop_web.1 env", { exec }, { env: { SET: "x" } });
  const [request] = received;
  const start = request?.message?.$case === "start" ? request.message.value : undefined;
  expect(start?.command?.env).toEqual(["SET=x", "A=1"]);
});
