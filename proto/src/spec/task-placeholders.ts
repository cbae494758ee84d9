/** The placeholders of a task's hostname, environment variables, mounts and config templates. Agents replace them. */
export const TASK_PLACEHOLDERS = [
  ".Node.ID",
  ".Node.Hostname",
  ".Service.ID",
  ".Service.Name",
  ".Task.ID",
  ".Task.Name",
  ".Task.Slot",
] as const;

export type TaskPlaceholder = (typeof TASK_PLACEHOLDERS)[number];

/** A part of a template that agents cannot replace. */
export interface PlaceholderProblem {
  /** Offset of the opening braces in the template. */
  readonly start: number;
  readonly end: number;
  readonly message: string;
}

const PLACEHOLDERS_PATTERN = /\{\{\s*(\.[A-Za-z.]+)\s*\}\}/g;
const PLACEHOLDER_PATTERN = /^\{\{\s*(\.[A-Za-z.]+)\s*\}\}$/;
/** Maximum number of characters of a placeholder that an error quotes. */
const MAX_QUOTED = 40;

/**
 * Returns the placeholders of a config template that agents cannot replace, up to `limit` of them. In Swarm, such a
 * template is a program: with conditions and functions, for example. A config must not reach a container half expanded.
 */
export function findPlaceholderProblems(template: string, limit: number): readonly PlaceholderProblem[] {
  const problems: PlaceholderProblem[] = [];
  let start = template.indexOf("{{");
  while (start >= 0 && problems.length < limit) {
    const close = template.indexOf("}}", start);
    const end = close < 0 ? template.length : close + 2;
    const text = template.slice(start, end);
    const [, name] = PLACEHOLDER_PATTERN.exec(text) ?? [];
    if (close < 0) {
      problems.push({ start, end: start + 2, message: "the braces of the placeholder are not closed" });
    } else if (name === undefined || !isTaskPlaceholder(name)) {
      problems.push({ start, end, message: unsupportedMessage(text) });
    }
    start = template.indexOf("{{", end);
  }
  return problems;
}

/** Replaces the known placeholders in a text. Others are kept: they may be meant for the program. */
export function fillPlaceholders(
  text: string,
  replacementOf: (placeholder: TaskPlaceholder) => string,
): string {
  if (!text.includes("{{")) return text;
  return text.replace(PLACEHOLDERS_PATTERN, (whole, name: string) =>
    isTaskPlaceholder(name) ? replacementOf(name) : whole,
  );
}

function isTaskPlaceholder(name: string): name is TaskPlaceholder {
  const known: readonly string[] = TASK_PLACEHOLDERS;
  return known.includes(name);
}

function unsupportedMessage(text: string): string {
  const quoted = JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
  return `the placeholder ${quoted} is not supported; use ${TASK_PLACEHOLDERS.join(", ")}`;
}
