import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";

const PROGRAM = `
  import { readSecret } from "@berth/proto/terminal";
  const source = { file: undefined, prompt: "Token: ", what: "token" };
  const secret = await readSecret(source, process, new AbortController().signal).catch(({ code }) => code);
  console.log("read " + Buffer.from(secret).toString("hex"));
`;

const hex = (text: string): string => Buffer.from(text).toString("hex");

/** Types keys into a pseudo-terminal after the prompt. Returns what it shows, and its settings after the program. */
async function type(keys: string): Promise<string> {
  const node = `'${process.execPath}' --input-type=module -e "$PROGRAM"`;
  const script = spawn(
    "script",
    ["--quiet", "--echo", "always", "--command", `${node}; stty -a`, "/dev/null"],
    { env: { ...process.env, PROGRAM, SHELL: "/bin/sh" } },
  );
  let shown = "";
  script.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString()));
  await eventually("the prompt", () => shown.includes("Token: "));
  script.stdin.write(keys);
  await once(script, "close");
  return shown;
}

test("a secret that is typed into a terminal is not shown, and the terminal shows input again afterwards", async () => {
  const shown = await type("secret-of-42\r");
  expect(shown).toContain(`read ${hex("secret-of-42")}`);
  expect(shown).not.toContain("secret");
  expect(shown).toMatch(/ echo /);
});

test("Ctrl-C at the prompt for a secret restores the terminal", async () => {
  const shown = await type("secret-of-42\x03");
  expect(shown).toContain(`read ${hex("BERTH_CANCELLED")}`);
  expect(shown).not.toContain("secret");
  expect(shown).toMatch(/ echo /);
});
