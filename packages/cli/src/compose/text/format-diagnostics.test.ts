import { expect, test } from "vitest";
import type { Diagnostic } from "./diagnostics.js";
import { formatDiagnostic, formatDiagnostics, PLAIN_STYLE } from "./format-diagnostics.js";
import { createSource } from "./source.js";

const source = createSource("c.yaml", "services:\r\n  a: { x: 1 }\r\n  b: { x: 2 }\r\n");

/** Returns a warning about the first place with this text. */
function warningAt(text: string, change: Partial<Diagnostic> = {}): Diagnostic {
  const start = source.text.indexOf(text);
  const place = { source, start, end: start + text.length };
  return {
    severity: "warning",
    position: place,
    path: "services",
    message: "no effect",
    isSettingIgnored: false,
    ...change,
  };
}

test("formatDiagnostic prints the line with carets if requested", () => {
  const style = { ...PLAIN_STYLE, showsExcerpt: true };
  expect(formatDiagnostic(warningAt("x: 2", { severity: "error", message: "wrong" }), style)).toBe(
    "c.yaml:3:8: services: wrong\n  3 |   b: { x: 2 }\n    |        ^^^^",
  );
});

test("formatDiagnostic does not print a line that can contain a secret", () => {
  const style = { ...PLAIN_STYLE, showsExcerpt: true };
  expect(formatDiagnostic(warningAt("x: 2", { severity: "error", path: "secrets.b.x" }), style)).toBe(
    "c.yaml:3:8: secrets.b.x: no effect",
  );
});

test("formatDiagnostics groups equal warnings and lists all places", () => {
  const error = warningAt("b:", { severity: "error" });
  expect(
    formatDiagnostics([
      warningAt("a:"),
      warningAt("b:"),
      warningAt("x: 2", { message: "other" }),
      error,
      { ...error, path: "p" },
    ]),
  ).toEqual([
    "c.yaml:2:3: warning: services: no effect\n  also at c.yaml:3:3",
    "c.yaml:3:8: warning: services: other",
    "c.yaml:3:3: services: no effect",
    "c.yaml:3:3: p: no effect",
  ]);
});
