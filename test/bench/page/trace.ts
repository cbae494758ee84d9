/** What Chromium records of a task, in microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  /** CPU time of the thread. */
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/** CPU times of the tasks of a page's main thread. Unlike wall times, they do not depend on other programs. */
export interface MainThreadTasks {
  readonly longestMs: number;
  readonly totalMs: number;
}

const TASK = "ThreadControllerImpl::RunTask";

/** Returns the tasks of the busiest main thread in a trace of Chromium, as JSON. */
export function mainThreadTasks(trace: string): MainThreadTasks {
  const { traceEvents } = JSON.parse(trace) as { readonly traceEvents: readonly TraceEvent[] };
  const threads = new Map<string, MainThreadTasks>();
  for (const event of traceEvents) {
    const isMain = event.name === "thread_name" && event.args?.name === "CrRendererMain";
    if (isMain) threads.set(threadOf(event), { longestMs: 0, totalMs: 0 });
  }
  for (const event of traceEvents) {
    const thread = threads.get(threadOf(event));
    if (thread === undefined || event.ph !== "X" || event.name !== TASK) continue;
    const ms = (event.tdur ?? 0) / 1_000;
    threads.set(threadOf(event), {
      longestMs: Math.max(thread.longestMs, ms),
      totalMs: thread.totalMs + ms,
    });
  }
  const [busiest] = [...threads.values()].sort((a, b) => b.totalMs - a.totalMs);
  if (busiest === undefined) throw new Error("the trace has no main thread of a page");
  return busiest;
}

function threadOf({ pid, tid }: TraceEvent): string {
  return `${pid}/${tid}`;
}
