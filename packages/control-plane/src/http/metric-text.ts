/**
 * One metric in Prometheus's text format. The labels are formatted once and shared by several metrics: prom-client
 * keeps each sample by its labels, which would block a leader with thousands of samples for 100 ms at each scrape.
 */
export class MetricText {
  readonly #name: string;
  readonly #lines: string[];

  constructor(name: string, type: "counter" | "gauge", help: string) {
    this.#name = name;
    this.#lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
  }

  /** @param labels from {@link formatLabels} */
  addSample(labels: string, value: number): void {
    this.#lines.push(`${this.#name}${labels} ${value}`);
  }

  render(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

/** Formats labels as `{service="shop_web"}`. Omits empty labels, which Prometheus treats like missing ones. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).filter(([, value]) => value !== "");
  if (pairs.length === 0) return "";
  return `{${pairs.map(([name, value]) => `${name}="${escapeLabel(value)}"`).join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}
