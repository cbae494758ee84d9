import type { TaskMove } from "../../core/cluster/cluster-store.js";

/** Most moves that are animated at a time. More would be a blur, and slow. */
const MAX_ANIMATED = 24;
const FLIGHT_MS = 900;
const HIGHLIGHT_MS = 2_500;

/** A move that will be shown when the map has been drawn. */
export interface Flight {
  readonly move: TaskMove;
  readonly from: DOMRect;
}

/** Returns the element of a task, or that of the node when the task is not drawn. */
type FindElement = (taskId: string, nodeId: string) => Element | undefined;

/** Adds moves to the flights. Notes where they start. */
export function planFlights(
  flights: readonly Flight[],
  moves: readonly TaskMove[],
  elementOf: FindElement,
): readonly Flight[] {
  if (moves.length === 0 || document.hidden) return flights;
  const added = moves.slice(-MAX_ANIMATED).flatMap((move) => {
    const from = elementOf(move.replacedTaskId, move.fromNodeId)?.getBoundingClientRect();
    return from === undefined ? [] : [{ move, from }];
  });
  return [...flights, ...added].slice(-MAX_ANIMATED);
}

/** Shows tasks moving from where the replaced task was to their own element. */
export function showFlights(flights: readonly Flight[], elementOf: FindElement): void {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  // Read all positions before anything changes, so that the browser computes the layout once.
  const targets = flights.flatMap(({ move, from }) => {
    const element = elementOf(move.taskId, move.toNodeId);
    return element === undefined ? [] : [{ element, from, to: element.getBoundingClientRect() }];
  });
  for (const { element, from, to } of targets) {
    highlight(element);
    if (!isStill) fly(element, from, to);
  }
}

/** Outlines an element for a while. */
function highlight(element: Element): void {
  element.animate(
    [{ outline: "3px solid var(--moved)", outlineOffset: "1px" }, { outline: "3px solid transparent" }],
    { duration: HIGHLIGHT_MS, easing: "ease-in" },
  );
}

/** Lets a copy of an element fly from one place to another. */
function fly(element: Element, from: DOMRect, to: DOMRect): void {
  const copy = element.cloneNode(true);
  if (!(copy instanceof HTMLElement)) return;
  copy.removeAttribute("role");
  copy.removeAttribute("data-task");
  copy.ariaHidden = "true";
  copy.classList.add("flying");
  Object.assign(copy.style, {
    left: `${to.left}px`,
    top: `${to.top}px`,
    width: `${to.width}px`,
    height: `${to.height}px`,
  });
  document.body.append(copy);
  const flight = copy.animate(
    [{ transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)` }, { transform: "none" }],
    { duration: FLIGHT_MS, easing: "cubic-bezier(0.3, 0, 0.1, 1)" },
  );
  flight.finished.catch(() => {}).finally(() => copy.remove());
}
