import type { ComponentChildren, JSX } from "preact";

export interface DetailsProps {
  readonly entries: readonly (readonly [string, ComponentChildren])[];
  /** Rows are for many details, and tiles for the few most important ones. */
  readonly appearance?: "details" | "tiles";
}

/** Names and values. Entries without a value are left out. */
export function Details({ entries, appearance = "details" }: DetailsProps): JSX.Element {
  return (
    <dl class={appearance}>
      {entries
        .filter(([, value]) => value !== "" && value !== undefined && value !== false)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** A part of a page with a heading. */
export function Section({
  title,
  children,
}: {
  readonly title: string;
  readonly children: ComponentChildren;
}): JSX.Element {
  return (
    <section class="part">
      <h2>{title}</h2>
      {children}
    </section>
  );
}
