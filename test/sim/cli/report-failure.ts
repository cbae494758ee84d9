import { generateHistory } from "../history/generate.js";
import { describeEvent, type History } from "../history/history.js";
import { shrink } from "../history/shrink.js";
import { type HistoryResult, runHistory } from "../run-history.js";

/** Number of trace lines that are shown without --trace. */
const LAST_LINES = 60;

/** Simulates one history and prints it. Returns the exit code. */
export async function reportFailure(
  seed: number,
  { isTraced, isShrunk }: { readonly isTraced: boolean; readonly isShrunk: boolean },
): Promise<number> {
  const whole = generateHistory(seed);
  const history = isShrunk ? await shrunk(whole) : whole;
  const result = await runHistory(history, { keepsTrace: true });
  const lines = isTraced ? result.trace : result.violations.length > 0 ? result.trace.slice(-LAST_LINES) : [];
  for (const line of lines) console.log(line);
  print(result);
  return result.violations.length > 0 ? 1 : 0;
}

/** Shrinks a failing history. The same rule has to be violated. */
async function shrunk(history: History): Promise<History> {
  const rule = (await runHistory(history, { keepsTrace: false })).violations[0]?.rule;
  if (rule === undefined) return history;
  return shrink(history, async (smaller) => {
    const { violations } = await runHistory(smaller, { keepsTrace: false });
    return violations[0]?.rule === rule;
  });
}

function print({ history, violations, steps, virtualMs, traceHash }: HistoryResult): void {
  const { seed, servers, hosts, isColocated, events } = history;
  console.log(`\nseed ${seed}: ${servers} servers${isColocated ? " on" : " beside"} ${hosts} hosts`);
  for (const event of events) console.log(describeEvent(event));
  const seconds = (virtualMs / 1_000).toFixed(1);
  console.log(`\n${steps} steps in ${seconds} virtual seconds, trace ${traceHash}`);
  if (violations.length === 0) console.log("no rule was violated");
  for (const { rule, atMs, what } of violations)
    console.log(`${(atMs / 1_000).toFixed(3)} s  ${rule} violated: ${what}`);
}
