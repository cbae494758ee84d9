import { join } from "node:path";
import type { Browser } from "playwright-core";
import { openPage, untilTrue } from "../browser.js";

/** A moment of the failover, and what the web UI shows then. */
interface Moment {
  readonly title: string;
  /** An expression of JavaScript that is true in the web UI when the moment has come. */
  readonly condition: string;
}

/** Counts elements of the map. */
const count = (selector: string): string => `document.querySelectorAll(".map ${selector}").length`;
const RUNNING = count(".cell[data-state=running]");
const MOMENTS: readonly Moment[] = [
  {
    title: "the node is suspect",
    condition: `${count(".host[data-status=suspect]")} + ${count(".host[data-status=down]")} > 0`,
  },
  { title: "the node is down", condition: `${count(".host[data-status=down]")} > 0` },
  {
    title: "its tasks run on other nodes",
    condition: `${count(".host[data-status=down] .cell")} === 0 && ${RUNNING} === ${count(".cell")}`,
  },
  {
    title: "the node is back",
    condition: `${count(".host[data-status=ready]")} === ${count(".host")}`,
  },
];

export interface FailoverPhotosOptions {
  /** A link of the demo, which presents the cluster. */
  readonly link: string;
  readonly directory: string;
  readonly timeoutMs: number;
  /** Called with each file and the time since the node became suspect. */
  readonly onWritten: (text: string) => void;
}

/** Opens the web UI of the demo, and takes a screenshot of each moment of the failover. */
export async function photographFailover(
  browser: Browser,
  { link, directory, timeoutMs, onWritten }: FailoverPhotosOptions,
): Promise<void> {
  const { page } = await openPage(browser, { url: link });
  await untilTrue(page, `${RUNNING} > 0`, timeoutMs);
  await page.getByText("requests sent").waitFor();
  await page.screenshot({ path: join(directory, "failover-1.png") });
  onWritten("failover-1.png  before the power cut");
  let firstAtMs: number | undefined;
  for (const [index, { title, condition }] of MOMENTS.entries()) {
    const atMs = await untilTrue(page, condition, timeoutMs);
    firstAtMs ??= atMs;
    const name = `failover-${index + 2}.png`;
    await page.screenshot({ path: join(directory, name) });
    onWritten(`${name}  ${((atMs - firstAtMs) / 1_000).toFixed(2)} s  ${title}`);
  }
}
