/** What it is called and what it is; several values stand under each other, none leaves the fact out. */
export type Field = readonly [name: string, value: string | readonly string[]];

/** `Hostname:   host-1`, a line per fact, the values below each other. Ends with a line end. */
export function formatFields(facts: readonly Field[]): string {
  const told = facts.filter(([, value]) => value.length > 0);
  const width = Math.max(...told.map(([name]) => name.length)) + 1;
  return told
    .flatMap(([name, value]) =>
      [value].flat().map((text, index) => `${(index === 0 ? `${name}:` : "").padEnd(width)}  ${text}\n`),
    )
    .join("");
}
