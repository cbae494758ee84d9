type MetricType = "counter" | "gauge";

/**
 * One metric in Prometheus's text format, whose values somebody else has counted. Its labels are text that is made once
 * for many metrics: a library that keeps each sample by its labels takes a leader with thousands of them out of service
 * for a tenth of a second at each scrape.
 */
export class MetricText {
  readonly #name: string;
  readonly #lines: string[];

  constructor(name: string, type: MetricType, help: string) {
    this.#name = name;
    this.#lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
  }

  /** @param labels from {@link labelText} */
  add(labels: string, value: number): void {
    this.#lines.push(`${this.#name}${labels} ${value}`);
  }

  text(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

/** `{service="shop_web"}`. An empty label is left out: to Prometheus that is the same. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).filter(([, value]) => value !== "");
  return pairs.length === 0
    ? ""
    : `{${pairs.map(([name, value]) => `${name}="${escaped(value)}"`).join(",")}}`;
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}
