import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

function receivedVariables(): readonly string[] | undefined {
  const [request] = received;
  return request?.message?.$case === "start" ? request.message.value.command?.env : undefined;
}

test("exec exits with the exit code of the command", async () => {
  expect((await berth("exec shop_web.1 false", { exec })).code).toBe(3);
});

test("exec -e NAME passes the variable on only if it is set", async () => {
  received.length = 0;
  await berth("exec -e SET -e UNSET -e A=1 shop_web.1 env", { exec }, { env: { SET: "x" } });
  expect(receivedVariables()).toEqual(["SET=x", "A=1"]);
});

test("exec --env-file passes the variables of a file before those of -e", async () => {
  received.length = 0;
  const directory = await mkdtemp(join(tmpdir(), "berth-exec-"));
  const file = join(directory, "variables.env");
  await writeFile(file, "# comment\nA=file\nB=2\n");
  await berth(`exec -e A=1 --env-file ${file} shop_web.1 env`, { exec });
  expect(receivedVariables()).toEqual(["A=file", "B=2", "A=1"]);
  await rm(directory, { recursive: true });
});

test("exec --env-file reads a file with a byte order mark and indentation as Docker does", async () => {
  received.length = 0;
  const directory = await mkdtemp(join(tmpdir(), "berth-exec-"));
  const file = join(directory, "variables.env");
  await writeFile(file, '\ufeffA=1 \n  B="2"\n\t# comment\nC\n');
  await berth(`exec --env-file ${file} shop_web.1 env`, { exec }, { env: { C: "3" } });
  expect(receivedVariables()).toEqual(["A=1 ", 'B="2"', "C=3"]);
  await rm(directory, { recursive: true });
});

test("exec --env-file reports all lines without a valid name", async () => {
  const directory = await mkdtemp(join(tmpdir(), "berth-exec-"));
  const file = join(directory, "variables.env");
  await writeFile(file, "A=1\nB C=2\n=3\n");
  const { err } = await berth(`exec --env-file ${file} shop_web.1 env`, { exec });
  expect(err).toContain(`${file}:2: "B C=2" is not NAME=VALUE\n`);
  expect(err).toContain(`${file}:3: "=3" is not NAME=VALUE\n`);
  await rm(directory, { recursive: true });
});
