import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSecret } from "./read-secret.js";

const signal = new AbortController().signal;
const ctrl = (letter: string): string => String.fromCharCode(letter.charCodeAt(0) - 64);
const BACKSPACE = "\x7f";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-secret-"));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

/** A terminal that records its modes and what is written to it. */
class FakeTerminal extends PassThrough {
  readonly isTTY = true;
  isRaw = false;
  readonly modes: boolean[] = [];
  shown = "";

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
    this.modes.push(isRaw);
  }

  askForToken(file?: string, readSignal = signal): Promise<string> {
    const stderr = { write: (text: string) => (this.shown += text) };
    return readSecret({ file, prompt: "Token: ", what: "join token" }, { stdin: this, stderr }, readSignal);
  }
}

async function readFile(content: string | Buffer): Promise<string> {
  const file = join(directory, "secret");
  await writeFile(file, content);
  return new FakeTerminal().askForToken(file);
}

describe("readSecret() with a file or a pipe", () => {
  const pipe = (text: string, file?: string, readSignal = signal): Promise<string> =>
    readSecret(
      { file, prompt: "Token: ", what: "join token" },
      { stdin: Readable.from([Buffer.from(text)]), stderr: { write: () => expect.fail("prompted") } },
      readSignal,
    );

  it("reads the line of a file, of standard input for -, and of standard input that is not a terminal", async () => {
    expect(await readFile(" secret \r\n")).toBe("secret");
    expect(await pipe("secret\n", "-")).toBe("secret");
    expect(await pipe("secret")).toBe("secret");
  });

  it("rejects an empty secret, several lines, control characters, and more than 4 KiB", async () => {
    const invalid = [
      ["", "empty"],
      ["a\nb", "single line"],
      [Buffer.from("secret", "utf16le"), "control characters"],
      ["x".repeat(4_097), "longer than 4096 bytes"],
    ] as const;
    for (const [content, reason] of invalid) {
      await expect(readFile(content)).rejects.toMatchObject({
        code: "BERTH_INPUT_INVALID",
        message: expect.stringMatching(`^invalid join token: .*${reason}`),
      });
    }
    expect(await readFile("x".repeat(4_096))).toHaveLength(4_096);
  });

  it("reads no more than 4 KiB of an endless file", async () => {
    await expect(new FakeTerminal().askForToken("/dev/zero")).rejects.toMatchObject({
      code: "BERTH_INPUT_INVALID",
    });
  });

  it("names the file that it cannot read", async () => {
    await expect(new FakeTerminal().askForToken("/nowhere/token")).rejects.toMatchObject({
      code: "BERTH_INPUT_INVALID",
      message: expect.stringMatching(/^cannot read the join token: .*\/nowhere\/token/),
    });
  });

  it("stops waiting for standard input when the signal aborts", async () => {
    const stopping = new AbortController();
    const reading = readSecret(
      { file: "-", prompt: "", what: "join token" },
      { stdin: new PassThrough(), stderr: { write: () => {} } },
      stopping.signal,
    );
    stopping.abort(new Error("stop"));
    await expect(reading).rejects.toThrow("stop");
  });
});

describe("readSecret() on a terminal", () => {
  it("shows the prompt, never the secret, and restores the terminal's mode", async () => {
    const terminal = new FakeTerminal();
    const reading = terminal.askForToken();
    expect(terminal.isRaw).toBe(true);
    terminal.write("secret\r");
    expect(await reading).toBe("secret");
    expect(terminal.shown).toBe("Token: \n");
    expect(terminal.modes).toEqual([true, false]);
  });

  it("supports the usual keys for corrections", async () => {
    const terminal = new FakeTerminal();
    const reading = terminal.askForToken();
    terminal.write(`wrong${ctrl("U")}sec12${BACKSPACE}${BACKSPACE}ret\r`);
    expect(await reading).toBe("secret");
  });

  it.each([
    ["Ctrl-C", (terminal: FakeTerminal) => terminal.write(`sec${ctrl("C")}`), "BERTH_CANCELLED"],
    ["Ctrl-D", (terminal: FakeTerminal) => terminal.write(ctrl("D")), "BERTH_INPUT_INVALID"],
    ["the end of the terminal", (terminal: FakeTerminal) => terminal.end(), "BERTH_INPUT_INVALID"],
    ["a text of 5 KB", (terminal: FakeTerminal) => terminal.write("x".repeat(5_000)), "BERTH_INPUT_INVALID"],
    ["an empty line", (terminal: FakeTerminal) => terminal.write("\r"), "BERTH_INPUT_INVALID"],
  ])("restores the terminal's mode after %s", async (_, act, code) => {
    const terminal = new FakeTerminal();
    const reading = terminal.askForToken();
    act(terminal);
    await expect(reading).rejects.toMatchObject({ code });
    expect(terminal.isRaw).toBe(false);
  });

  it("restores the terminal's mode when the signal aborts", async () => {
    const terminal = new FakeTerminal();
    const stopping = new AbortController();
    const reading = terminal.askForToken(undefined, stopping.signal);
    stopping.abort(new Error("stop"));
    await expect(reading).rejects.toThrow("stop");
    expect(terminal.isRaw).toBe(false);
  });
});
