import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { formatTime } from "../../format/format.js";

/** Maximum number of moves in the list. */
const SHOWN = 8;

/** The tasks that were moved last, with the reason. Screen readers announce new ones. */
export function RecentMoves(): JSX.Element {
  const moves = cluster.moves.value;
  return (
    <section class="part moves" aria-labelledby="moves-title">
      <h2 id="moves-title">Recent moves</h2>
      {moves.length === 0 && <p class="empty">No task has moved since this page was opened.</p>}
      <ol aria-live="polite" aria-relevant="additions">
        {moves.slice(0, SHOWN).map(({ taskId, atMs, text }) => (
          <li key={taskId}>
            <time>{formatTime(atMs)}</time> {text}
          </li>
        ))}
      </ol>
      {moves.length > SHOWN && <p class="note">{moves.length - SHOWN} earlier moves are not shown.</p>}
    </section>
  );
}
