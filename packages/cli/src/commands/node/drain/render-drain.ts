import { truncate } from "../../../output/table.js";
import type { DrainProgress, ServiceDrainProgress } from "./drain-progress.js";

/** Maximum number of lines. */
const MAX_LINES = 20;

/** Returns one line per service, unfinished ones first: `shop_web: 2 of 5 moved, starting 1`. */
export function renderDrain({ services }: DrainProgress, columns: number): readonly string[] {
  const sorted = services.toSorted((a, b) => Number(isFinished(a)) - Number(isFinished(b)));
  const visible = sorted.length <= MAX_LINES ? sorted : sorted.slice(0, MAX_LINES - 1);
  const lines = visible.map((service) => truncate(serviceLine(service), columns));
  const hidden = sorted.length - visible.length;
  return hidden === 0 ? lines : [...lines, `… and ${hidden} more services`];
}

export function serviceLine(service: ServiceDrainProgress): string {
  const [worst] = service.blockedReasons;
  return worst === undefined ? countLine(service) : `${countLine(service)}, ${worst}`;
}

/** Returns the services that still have tasks on the nodes, each followed by the reasons. */
export function remainingLines({ services }: DrainProgress): readonly string[] {
  return services
    .filter(({ moved, total }) => moved < total)
    .flatMap((service) => [countLine(service), ...service.blockedReasons.map((reason) => `  ${reason}`)]);
}

/** Returns the reasons that need action, one per line. */
export function blockedLines({ services }: DrainProgress): readonly string[] {
  return services.flatMap(({ name, blockedReasons }) => blockedReasons.map((reason) => `${name}: ${reason}`));
}

function countLine({ name, moved, total, note }: ServiceDrainProgress): string {
  return `${name}: ${moved} of ${total} moved${note === "" ? "" : `, ${note}`}`;
}

function isFinished({ isDone, blockedReasons }: ServiceDrainProgress): boolean {
  return isDone && blockedReasons.length === 0;
}
