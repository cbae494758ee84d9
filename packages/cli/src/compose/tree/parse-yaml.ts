import { type Document, parseAllDocuments } from "yaml";
import type { Diagnostics } from "../text/diagnostics.js";
import type { Source } from "../text/source.js";
import { convertDocument, toSpan } from "./convert-document.js";
import type { Node } from "./node.js";

const TOO_DEEP = "the file is nested too deeply";
const STACK_OVERFLOW = /^Maximum call stack size exceeded/;

/**
 * Parses a YAML file to its documents, with a position for each value. Aliases are expanded up to a limit, `<<` is
 * merged, and duplicate keys are errors. Documents with syntax errors are reported and left out.
 */
export function parseYaml(source: Source, diagnostics: Diagnostics): readonly Node[] {
  const roots: Node[] = [];
  for (const document of parseDocuments(source, diagnostics)) {
    for (const error of relevantErrors(document)) {
      diagnostics.error({ position: toSpan(source, error.pos), path: "" }, cleanMessage(error.message));
    }
    if (document.errors.length > 0 || document.contents === null) continue;
    const root = convertDocument(document.contents, source, diagnostics);
    if (root !== undefined) roots.push(root);
  }
  return roots;
}

function parseDocuments(source: Source, diagnostics: Diagnostics): readonly Document.Parsed[] {
  try {
    // The failsafe schema keeps every scalar as text; `resolvePlainScalar` interprets it.
    const parsed = parseAllDocuments(source.text, {
      schema: "failsafe",
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: "silent",
    });
    return "empty" in parsed ? [] : parsed;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    diagnostics.error({ position: toSpan(source, [0, 0]), path: "" }, TOO_DEEP);
    return [];
  }
}

/** Drops the errors that follow a stack overflow, which the parser catches and after which it stops mid-document. */
function relevantErrors({ errors }: Document.Parsed): Document.Parsed["errors"] {
  const overflow = errors.find(({ message }) => STACK_OVERFLOW.test(message));
  return overflow === undefined ? errors : [overflow];
}

/** Clearer messages for the parser's messages about indentation, the most common mistakes. */
const CLEARER_MESSAGES: Readonly<Record<string, string>> = {
  "All mapping items must start at the same column":
    "the key does not start at the same column as the other keys of its mapping",
  "All sequence items must start at the same column":
    "the item does not start at the same column as the other items of its list",
  "Tabs are not allowed as indentation": "a tab cannot be used as indentation; use spaces",
};

/** Returns the parser's message without the position that some messages end with. */
function cleanMessage(message: string): string {
  if (STACK_OVERFLOW.test(message)) return TOO_DEEP;
  const reason = message.replace(/ at line \d+, column \d+.*$/s, "").replace(/:$/, "");
  return CLEARER_MESSAGES[reason] ?? `${reason.charAt(0).toLowerCase()}${reason.slice(1)}`;
}
