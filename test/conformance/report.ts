/** A case that differs from Docker Compose. */
export interface Difference {
  readonly name: string;
  readonly reason: string;
  /** Why berth differs intentionally. Such a case counts as passed. */
  readonly intended?: string;
}

/** The results for one kind of case. */
export interface Section {
  /** Name of the figure, for example `conformance.agreement`. */
  readonly figure: string;
  readonly passed: number;
  readonly total: number;
  /** Share of the cases that must pass, from 0 to 1. */
  readonly goal: number;
  readonly differences: readonly Difference[];
}

/** Number of differences that the report prints for each section by default. */
const MAX_DIFFERENCES = 15;
const MAX_REASON_LENGTH = 300;

/** Creates a section. `outcomes` has one element per case, undefined if the case passed. */
export function sectionOf(
  figure: string,
  goal: number,
  outcomes: readonly (Difference | undefined)[],
): Section {
  const differences = outcomes.filter((outcome) => outcome !== undefined);
  const failed = differences.filter(({ intended }) => intended === undefined).length;
  return { figure, goal, total: outcomes.length, passed: outcomes.length - failed, differences };
}

export function printReport(sections: readonly Section[], { all }: { readonly all: boolean }): void {
  for (const { figure, passed, total, goal, differences } of sections) {
    const share = total === 0 ? 1 : passed / total;
    const goalResult = share >= goal ? "met" : "missed";
    const intended = differences.filter((difference) => difference.intended !== undefined).length;
    const note = intended === 0 ? "" : `, ${intended} intended differences`;
    console.log(
      `${figure.padEnd(26)} ${passed}/${total} ${(share * 100).toFixed(1)} %  goal ${goal * 100} % ${goalResult}${note}`,
    );
  }
  for (const { figure, differences } of sections) {
    if (differences.length === 0) continue;
    console.log(`\n${figure}:`);
    const shown = all ? differences : differences.slice(0, MAX_DIFFERENCES);
    for (const { name, reason, intended } of shown) {
      const note = intended === undefined ? "" : ` [intended: ${intended}]`;
      console.log(`  ${name}: ${reason.slice(0, MAX_REASON_LENGTH)}${note}`);
    }
    if (shown.length < differences.length) console.log(`  … ${differences.length - shown.length} more`);
  }
}
