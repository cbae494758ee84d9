import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { frame } from "./frame.js";

const NOT_FOUND = 127;

/** A command in a fake container. It runs on this machine. */
export class FakeExec {
  readonly id = randomBytes(32).toString("hex");
  readonly body: { readonly Cmd: readonly string[]; readonly Env?: readonly string[] };
  #exitCode: number | undefined;

  constructor(body: FakeExec["body"]) {
    this.body = body;
  }

  inspect(): object {
    return { ID: this.id, Running: this.#exitCode === undefined, ExitCode: this.#exitCode ?? null, Pid: 0 };
  }

  attach(connection: Duplex): void {
    connection.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    const [program = "", ...args] = this.body.Cmd;
    const env = Object.fromEntries((this.body.Env ?? []).map((pair) => pair.split("=", 2)));
    const child = spawn(program, args, { env: { ...process.env, ...env } });
    connection.pipe(child.stdin);
    child.stdout.on("data", (bytes: Buffer) => connection.write(frame(1, bytes)));
    child.stderr.on("data", (bytes: Buffer) => connection.write(frame(2, bytes)));
    child.stdin.on("error", () => {});
    connection.on("error", () => child.kill());
    connection.on("close", () => child.kill());
    const end = (exitCode: number): void => {
      this.#exitCode ??= exitCode;
      connection.end();
    };
    child.on("error", () => end(NOT_FOUND));
    child.on("close", (code) => end(code ?? NOT_FOUND));
  }
}
