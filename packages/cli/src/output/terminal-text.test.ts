import { ClusterEvent, LogEntry_Stream, LogLine } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { fakeCli } from "../testing/fake-cli.js";
import { berth } from "../testing/run-berth.js";
import { FullScreen } from "./full-screen.js";
import { LiveView } from "./live-view.js";
import { styled } from "./style.js";
import { formatTable, oneLine } from "./table.js";
import { styledTerminalText, terminalText } from "./terminal-text.js";

/** Clears the screen (C0 and C1), retitles the window, deletes, and reverses the order of the text. */
const HOSTILE = "a\x1b[2Jb\x9b2Jc\x1b]0;title\x07d\x7fe\u202ef\u2066g";
const SHOWN = "a\\u001b[2Jb\\u009b2Jc\\u001b]0;title\\u0007d\\u007fe\\u202ef\\u2066g";
// biome-ignore lint/suspicious/noControlCharactersInRegex: matches the characters that must not be printed
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

describe("escape-free-output", () => {
  test("terminalText escapes every C0, C1, DEL and bidi control and keeps all other text", () => {
    expect(terminalText(HOSTILE)).toBe(SHOWN);
    expect(terminalText("naïve\t100 %\n日本語 🙂")).toBe("naïve\t100 %\n日本語 🙂");
    for (let code = 0; code < 0x3000; code += 1) {
      expect(terminalText(String.fromCharCode(code))).not.toMatch(CONTROLS);
    }
  });

  test("terminalText keeps the value of JSON", () => {
    const json = JSON.stringify({ text: HOSTILE });
    expect(terminalText(json)).not.toMatch(CONTROLS);
    expect(JSON.parse(terminalText(json))).toEqual({ text: HOSTILE });
  });

  test("styledTerminalText keeps the styles of berth only", () => {
    const cli = fakeCli({ isTty: true });
    const red = styled(cli, cli.stdout, "red", HOSTILE);
    expect(red).toBe(`\x1b[31m${SHOWN}\x1b[39m`);
    expect(styledTerminalText(red)).toBe(red);
    for (const style of ["red", "green", "yellow", "cyan", "magenta", "blue", "dim", "bold"] as const) {
      const text = styled(cli, cli.stdout, style, "x");
      expect(styledTerminalText(text)).toBe(text);
    }
    expect(styledTerminalText("\x1b[8m hidden\x1b[31;8m")).toBe("\\u001b[8m hidden\\u001b[31;8m");
  });

  test("table cells contain no control character and no line break", () => {
    expect(oneLine(`x\r\n${HOSTILE}`)).toBe(`x ${SHOWN}`);
    expect(formatTable([{ title: "T", cell: (row: string) => row }], [HOSTILE])).toBe(`T\n${SHOWN}\n`);
  });

  test("live views escape the text of their lines", () => {
    const cli = fakeCli({ isTty: true });
    new LiveView(cli.stdout, () => 0).draw([HOSTILE]);
    const screen = new FullScreen(cli.stdout);
    screen.open();
    screen.draw([HOSTILE]);
    expect(cli.out().split(SHOWN)).toHaveLength(3);
  });

  test("errors of the server contain no control character", async () => {
    const { err } = await berth("node rm h1", {
      removeNode: async () => {
        throw new Error(HOSTILE);
      },
    });
    expect(err).toContain("[2Jb");
    expect(err).not.toMatch(CONTROLS);
  });

  test("the prefix of a log line and a warning are escaped, and the line itself is not", async () => {
    const line = LogLine.fromPartial({
      serviceName: `shop${HOSTILE}`,
      slot: 1,
      taskId: "t1",
      nodeHostname: HOSTILE,
      entry: { stream: LogEntry_Stream.STDOUT, timeNs: "1", line: Buffer.from("\x1b[32mok\x1b[0m") },
    });
    const { out, err } = await berth("logs shop_web", {
      streamLogs: async function* () {
        yield { message: { $case: "warning", value: `${HOSTILE}\nerror: forged` } };
        yield { message: { $case: "line", value: line } };
      },
    });
    expect(err).toBe(`warning: ${SHOWN} error: forged\n`);
    expect(out).toBe(`shop${SHOWN}.1.t1@${SHOWN}    | \x1b[32mok\x1b[0m\n`);
  });

  test("events contain no control character, also as JSON", async () => {
    const event = ClusterEvent.fromPartial({
      timeMs: 1,
      reason: HOSTILE,
      message: HOSTILE,
      serviceName: HOSTILE,
      nodeHostname: HOSTILE,
    });
    for (const output of ["", "-o json"]) {
      const { out } = await berth(`events ${output}`, {
        streamEvents: async function* () {
          yield { message: { $case: "event", value: event } };
        },
      });
      expect(out).toContain("\\u009b2J");
      expect(out).not.toMatch(CONTROLS);
    }
  });
});
