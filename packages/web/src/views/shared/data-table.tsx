import type { ComponentChildren, JSX } from "preact";

export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => ComponentChildren;
  readonly isNumber?: boolean;
}

export interface DataTableProps<T> {
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string;
  /** Shown instead of the table when there are no rows. */
  readonly empty: string;
}

/** Maximum number of rows in a table. The browser takes too long to draw more. */
const MAX_ROWS = 500;

/** A table that scrolls sideways on narrow screens. The first column has the headers of the rows. */
export function DataTable<T>({ caption, columns, rows, keyOf, empty }: DataTableProps<T>): JSX.Element {
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  const omitted = rows.length - MAX_ROWS;
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must be able to scroll it. */}
      <section class="table-box" aria-label={caption} tabIndex={0}>
        <table>
          <caption class="hidden">{caption}</caption>
          <thead>
            <tr>
              {columns.map(({ title, isNumber }) => (
                <th key={title} scope="col" class={isNumber ? "number" : ""}>
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, MAX_ROWS).map((row) => (
              <tr key={keyOf(row)}>
                {columns.map(({ title, cell, isNumber }, index) =>
                  index === 0 ? (
                    <th key={title} scope="row">
                      {cell(row)}
                    </th>
                  ) : (
                    <td key={title} class={isNumber ? "number" : ""}>
                      {cell(row)}
                    </td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {omitted > 0 && <p class="note">{omitted} more rows are not shown.</p>}
    </>
  );
}
