/** Lets the arrow keys move the focus in the map, as the ARIA pattern of a grid defines it. */
export function startGridNavigation(grid: HTMLElement): () => void {
  const onKeyDown = (event: KeyboardEvent): void => {
    const from = event.target instanceof HTMLElement ? event.target : undefined;
    if (from === undefined || !isItem(from)) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      from.click();
      return;
    }
    const to = destination(grid, from, event.key, event.ctrlKey);
    if (to === undefined) return;
    event.preventDefault();
    moveFocus(grid, to);
  };
  const onFocus = (event: FocusEvent): void => {
    if (event.target === grid) {
      const first = items(rows(grid)[0])[0];
      if (first !== undefined) moveFocus(grid, first);
    } else if (event.target instanceof HTMLElement && isItem(event.target)) {
      setTabStop(grid, event.target);
    }
  };
  grid.addEventListener("keydown", onKeyDown);
  grid.addEventListener("focusin", onFocus);
  return () => {
    grid.removeEventListener("keydown", onKeyDown);
    grid.removeEventListener("focusin", onFocus);
  };
}

function destination(
  grid: HTMLElement,
  from: HTMLElement,
  key: string,
  isControl: boolean,
): HTMLElement | undefined {
  const row = from.closest<HTMLElement>("[role=row]");
  const inRow = items(row);
  const column = inRow.indexOf(from);
  const allRows = rows(grid);
  const rowNumber = row === null ? -1 : allRows.indexOf(row);
  const inOtherRow = (number: number): HTMLElement | undefined => {
    const other = items(allRows[number]);
    return other[Math.min(column, other.length - 1)];
  };
  switch (key) {
    case "ArrowRight":
      return inRow[column + 1];
    case "ArrowLeft":
      return inRow[column - 1];
    case "ArrowDown":
      return inOtherRow(rowNumber + 1);
    case "ArrowUp":
      return inOtherRow(rowNumber - 1);
    case "Home":
      return isControl ? items(allRows[0])[0] : inRow[0];
    case "End":
      return isControl ? items(allRows.at(-1)).at(-1) : inRow.at(-1);
    default:
      return undefined;
  }
}

function moveFocus(grid: HTMLElement, to: HTMLElement): void {
  setTabStop(grid, to);
  to.focus();
}

/** Only one element of the grid is in the order of the tab key. */
function setTabStop(grid: HTMLElement, to: HTMLElement): void {
  for (const item of grid.querySelectorAll<HTMLElement>("[tabindex='0']")) item.tabIndex = -1;
  grid.tabIndex = -1;
  to.tabIndex = 0;
}

function rows(grid: HTMLElement): readonly HTMLElement[] {
  return [...grid.querySelectorAll<HTMLElement>("[role=row]")];
}

function items(row: HTMLElement | null | undefined): readonly HTMLElement[] {
  return row ? [...row.querySelectorAll<HTMLElement>("[role=rowheader], [role=gridcell]")] : [];
}

function isItem(element: HTMLElement): boolean {
  return element.matches("[role=rowheader], [role=gridcell]");
}
