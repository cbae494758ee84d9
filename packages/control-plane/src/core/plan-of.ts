import type { Action, Plan } from "./model/plan.js";

/** A task that got one action may need another after it: that is the next plan's, which is then due at once. */
export function planOf(
  actions: readonly Action[],
  rest: { readonly dueMs: readonly number[]; readonly problems: readonly string[]; readonly now: number },
): Plan {
  const touched = new Set<string>();
  const first = actions.filter((action) => {
    if (action.kind === "create-task") return true;
    const id = taskIdOf(action);
    if (touched.has(id)) return false;
    touched.add(id);
    return true;
  });
  const dueMs = first.length < actions.length ? [rest.now] : rest.dueMs;
  const earliest = dueMs.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  return {
    actions: first,
    problems: rest.problems,
    ...(earliest === Number.POSITIVE_INFINITY ? {} : { requeueAtMs: earliest }),
  };
}

const taskIdOf = (action: Action): string => ("task" in action ? action.task.id : "");
