import { findPlaceholderProblems } from "@berth/proto";

const ACTION = /\{\{.*?\}\}/gs;
/** Pattern of `{{index .Service.Labels "com.example.zone"}}`, with either of Go's quotes. */
const LABEL = /^\{\{\s*index\s+\.Service\.Labels\s+(?:"([^"]*)"|`([^`]*)`)\s*\}\}$/;
/** Pattern of the objects in Swarm's templates. Other templates are left to the program in the container. */
const TASK_OBJECT = /\.(?:Node|Service|Task)\b/;

/**
 * Replaces `{{index .Service.Labels "KEY"}}` by the label of the service. A label that does not exist is empty, as in
 * Swarm. Agents replace the other placeholders.
 */
export function fillServiceLabels(text: string, labels: Readonly<Record<string, string>>): string {
  return text.replace(ACTION, (action) => {
    const [, quoted, raw] = LABEL.exec(action) ?? [];
    const key = quoted ?? raw;
    if (key === undefined) return action;
    return Object.hasOwn(labels, key) ? (labels[key] ?? "") : "";
  });
}

/** Returns why a text has a template of Swarm that berth does not replace, or undefined if it has none. */
export function taskTemplateProblem(text: string): string | undefined {
  for (const [action] of text.matchAll(ACTION)) {
    if (LABEL.test(action) || !TASK_OBJECT.test(action)) continue;
    const [problem] = findPlaceholderProblems(action, 1);
    if (problem !== undefined) return problem.message;
  }
  return undefined;
}
