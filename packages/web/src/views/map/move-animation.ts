import type { TaskMove } from "../../core/cluster/cluster-store.js";

/** Maximum number of moves that are animated at a time. More would be a blur, and slow. */
const MAX_ANIMATED = 24;
/** Duration of the animation of a move. */
const FLIGHT_MS = 900;
/** Time for which a moved task is highlighted. */
const HIGHLIGHT_MS = 2_500;

/** A move that will be shown when the map has been drawn. */
interface Flight {
  readonly move: TaskMove;
  readonly from: DOMRect;
}

/** Returns the element of a task, or the element of the node if the task is not drawn. */
type FindElement = (taskId: string, nodeId: string) => Element | undefined;

/** Shows tasks moving from where the replaced task was to their own element. */
export class MoveAnimation {
  readonly #elementOf: FindElement;
  #planned: Flight[] = [];
  #active = 0;

  constructor(elementOf: FindElement) {
    this.#elementOf = elementOf;
  }

  /** Notes where moves start, before the map changes. */
  plan(moves: readonly TaskMove[]): void {
    if (document.hidden) return;
    const free = MAX_ANIMATED - this.#active - this.#planned.length;
    for (const move of moves.slice(0, Math.max(0, free))) {
      const from = this.#elementOf(move.replacedTaskId, move.fromNodeId)?.getBoundingClientRect();
      if (from !== undefined) this.#planned.push({ move, from });
    }
  }

  /** Starts the planned animations, after the map has changed. */
  start(): void {
    if (this.#planned.length === 0) return;
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    // Read all positions before anything changes, so that the browser computes the layout once.
    const flights = this.#planned.flatMap(({ move, from }) => {
      const element = this.#elementOf(move.taskId, move.toNodeId);
      return element === undefined ? [] : [{ element, from, to: element.getBoundingClientRect() }];
    });
    this.#planned = [];
    for (const { element, from, to } of flights) {
      this.#active += 1;
      highlight(element, () => {
        this.#active -= 1;
      });
      if (!isStill) fly(element, from, to);
    }
  }
}

/** Outlines an element for a while. An animated outline would be painted with each frame. */
function highlight(element: Element, onEnd: () => void): void {
  element.toggleAttribute("data-moved", true);
  setTimeout(() => {
    element.toggleAttribute("data-moved", false);
    onEnd();
  }, HIGHLIGHT_MS);
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
    fontSize: getComputedStyle(element).fontSize,
  });
  document.body.append(copy);
  const flight = copy.animate(
    [{ transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)` }, { transform: "none" }],
    { duration: FLIGHT_MS, easing: "cubic-bezier(0.3, 0, 0.1, 1)" },
  );
  flight.finished.catch(() => {}).finally(() => copy.remove());
}
