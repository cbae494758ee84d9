import type { ComponentChildren, JSX } from "preact";

/** Names and values. Entries without a value are left out. */
export function Details({
  entries,
}: {
  readonly entries: readonly (readonly [string, ComponentChildren])[];
}): JSX.Element {
  return (
    <dl class="details">
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
