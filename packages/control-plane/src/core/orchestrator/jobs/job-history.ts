import { DEFAULT_CRON_HISTORY, type JobStatus, type Service } from "@berth/proto";

/** That of a run which counts no more: its service was removed since. */
export const NO_TEMPLATE = 0;

/** The runs of a job that are remembered, newest first: of a cron job several, of any other the last one. */
export function runsOf({ cron, job, spec }: Service): readonly JobStatus[] {
  if (spec?.cron !== undefined && cron !== undefined) return cron.runs;
  return job === undefined ? [] : [job];
}

export const isRunActive = (run: JobStatus): boolean => run.endedAtMs === 0;

/** A run that begins now; the service's earlier runs stay as they are. */
export function nextRunOf({ job, templateVersion }: Service, now: number): JobStatus {
  return {
    iteration: (job?.iteration ?? 0) + 1,
    startedAtMs: now,
    endedAtMs: 0,
    failed: false,
    message: "",
    templateVersion,
  };
}

/** The service with these runs, newest first, of which it remembers those that are on and the newest ended ones. */
export function withRuns(service: Service, runs: readonly JobStatus[]): Service {
  const { cron, spec } = service;
  const job = runs[0] ?? service.job;
  if (spec?.cron === undefined || cron === undefined) return { ...service, job };
  let left = spec.cron.history ?? DEFAULT_CRON_HISTORY;
  const kept = runs.filter((run) => {
    if (isRunActive(run)) return true;
    left -= 1;
    return left >= 0;
  });
  return { ...service, job, cron: { ...cron, runs: kept } };
}

/** The service after one of its runs has become this. */
export function withRun(service: Service, changed: JobStatus): Service {
  const runs = runsOf(service).map((run) => (run.iteration === changed.iteration ? changed : run));
  return withRuns(service, runs);
}
