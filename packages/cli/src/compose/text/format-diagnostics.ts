import type { Diagnostic } from "./diagnostics.js";
import { lineColumn, lineText } from "./source.js";

/** Maximum width of an excerpt in characters. */
const MAX_EXCERPT_WIDTH = 100;

export interface DiagnosticStyle {
  /** Whether to print the source line, with carets below the reported part. */
  readonly showsExcerpt: boolean;
  /** Colors a part, or returns it unchanged. */
  readonly paint: (part: "place" | "error" | "warning" | "excerpt", text: string) => string;
}

export const PLAIN_STYLE: DiagnosticStyle = { showsExcerpt: false, paint: (_, text) => text };

/** Returns `compose.yaml:4:5: services.web.prots: unknown key "prots"; did you mean "ports"?`. */
export function formatDiagnostic(diagnostic: Diagnostic, style: DiagnosticStyle = PLAIN_STYLE): string {
  const { position, path, message, severity } = diagnostic;
  const place = style.paint("place", `${formatPosition(position)}:`);
  const label = severity === "warning" ? `${style.paint("warning", "warning:")} ` : "";
  const head = `${place} ${label}${path === "" ? "" : `${path}: `}${message}`;
  const excerpt = style.showsExcerpt && !isAboutSecret(path) ? formatExcerpt(diagnostic) : undefined;
  return excerpt === undefined ? head : `${head}\n${style.paint("excerpt", excerpt)}`;
}

/** Returns whether the line may contain the secret itself, written by mistake in place of its source. */
function isAboutSecret(path: string): boolean {
  return path.startsWith("secrets.");
}

/**
 * Formats diagnostics. Warnings with the same message are printed once, followed by their other places, since an
 * unsupported key is often used in every service.
 */
export function formatDiagnostics(
  diagnostics: readonly Diagnostic[],
  style: DiagnosticStyle = PLAIN_STYLE,
): readonly string[] {
  const groups = new Map<string, { readonly first: Diagnostic; readonly others: Diagnostic[] }>();
  for (const diagnostic of diagnostics) {
    const { severity, message, path, position } = diagnostic;
    const key =
      severity === "warning" ? message : `${position.source.name} ${position.start} ${path} ${message}`;
    const group = groups.get(key);
    if (group === undefined) {
      groups.set(key, { first: diagnostic, others: [] });
    } else {
      group.others.push(diagnostic);
    }
  }
  return [...groups.values()].map(
    ({ first, others }) => formatDiagnostic(first, style) + otherPlaces(others, style),
  );
}

function otherPlaces(others: readonly Diagnostic[], style: DiagnosticStyle): string {
  if (others.length === 0) return "";
  const places = others.map(({ position }) => formatPosition(position));
  return `\n${style.paint("excerpt", `  also at ${places.join(", ")}`)}`;
}

/** Returns `compose.yaml:4:5`. */
function formatPosition(position: Diagnostic["position"]): string {
  const { line, column } = lineColumn(position);
  return `${position.source.name}:${line}:${column}`;
}

function formatExcerpt({ position }: Diagnostic): string | undefined {
  const { line, column } = lineColumn(position);
  const text = lineText(position.source, line).replaceAll("\t", " ");
  if (text.trim() === "" || column > MAX_EXCERPT_WIDTH) return undefined;
  const width = Math.min(Math.max(1, position.end - position.start), Math.max(1, text.length - column + 1));
  const margin = `${line} | `;
  const caret = `${" ".repeat(margin.length - 2)}| ${" ".repeat(column - 1)}${"^".repeat(width)}`;
  const clipped = [`${margin}${text}`, caret].map((row) =>
    row.slice(0, MAX_EXCERPT_WIDTH + margin.length).trimEnd(),
  );
  return clipped.map((row) => `  ${row}`).join("\n");
}
