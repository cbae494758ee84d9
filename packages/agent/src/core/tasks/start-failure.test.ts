import { expect, test } from "vitest";
import { startFailure } from "./start-failure.js";

const RUNC =
  "failed to create shim: OCI runtime create failed: runc create failed: unable to start container process";

test.each([
  [`${RUNC}: exec: "nope": executable file not found in $PATH: unknown`, 127],
  [`${RUNC}: exec: "/nope": stat /nope: no such file or directory: unknown`, 127],
  [`${RUNC}: exec: "/etc/passwd": permission denied: unknown`, 126],
  [`${RUNC}: exec: "/etc": is a directory: unknown`, 126],
  ["image nope:1 not found: no such file or directory", 125],
  ["no client attached to it within 30 s", 125],
])("startFailure() returns the exit code of docker run for: %s", (message, exitCode) => {
  expect(startFailure(message)).toEqual({ exitCode, error: message });
});
