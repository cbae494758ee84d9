import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, chromium, type Page } from "playwright-core";

/** Debian's Chromium. */
export const CHROMIUM = "/usr/bin/chromium";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What a page has done that it must not do. */
export interface PageProblems {
  /** Errors and violations of the content security policy. */
  readonly messages: string[];
  /** URLs of other origins that were requested. */
  readonly foreignRequests: string[];
}

/** The number of failed requests of which a page keeps a description. */
const KEPT_FAILURES = 50;

export interface OpenPageOptions {
  readonly url: string;
  readonly width?: number;
  readonly theme?: "light" | "dark";
}

export interface OpenedPage {
  readonly page: Page;
  readonly problems: PageProblems;
  /** The last requests that failed: "12:00:01.123 net::ERR_ABORTED https://…". */
  readonly failedRequests: readonly string[];
}

export function launchBrowser(executablePath = CHROMIUM): Promise<Browser> {
  // Tests run as root, for which Chromium has no sandbox.
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

/** Opens a page in a profile of its own, and notes its problems. */
export async function openPage(
  browser: Browser,
  { url, width = 1_280, theme = "light" }: OpenPageOptions,
): Promise<OpenedPage> {
  const context = await browser.newContext({
    viewport: { width, height: 800 },
    colorScheme: theme,
    ignoreHTTPSErrors: true,
  });
  const page = await context.newPage();
  const problems: PageProblems = { messages: [], foreignRequests: [] };
  page.on("pageerror", ({ message }) => problems.messages.push(message));
  page.on("console", (message) => {
    // Chromium reports each request that fails, which tests cause on purpose.
    const isRequest = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isRequest) problems.messages.push(message.text());
  });
  const { origin } = new URL(url);
  page.on("request", (request) => {
    const requested = request.url();
    if (!requested.startsWith(origin) && !requested.startsWith("data:") && !requested.startsWith("blob:")) {
      problems.foreignRequests.push(requested);
    }
  });
  const failedRequests: string[] = [];
  page.on("requestfailed", (request) => {
    const time = new Date().toISOString().slice(11, 23);
    failedRequests.push(`${time} ${request.failure()?.errorText} ${request.url().slice(0, 120)}`);
    if (failedRequests.length > KEPT_FAILURES) failedRequests.shift();
  });
  await page.goto(url);
  return { page, problems, failedRequests };
}

/** Returns what the page shows and which requests have failed, to explain a test that failed. */
export async function describePage({ page, failedRequests }: OpenedPage): Promise<string> {
  const shown = await page.evaluate("document.body.innerText").catch((error: unknown) => String(error));
  return `the page ${page.url()} shows:\n${shown}\nfailed requests:\n${failedRequests.join("\n")}`;
}

/** Returns the violations of accessibility rules that axe finds: "color-contrast: <p class=…>". */
export async function accessibilityViolations(page: Page): Promise<readonly string[]> {
  const isLoaded = await page.evaluate("'axe' in window");
  if (isLoaded !== true) await page.evaluate(AXE);
  const result = await page.evaluate("axe.run()");
  const { violations } = result as {
    readonly violations: readonly {
      readonly id: string;
      readonly nodes: readonly { readonly html: string }[];
    }[];
  };
  return violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
}

/** Shows a view of the web UI. */
export async function showView(page: Page, fragment: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(fragment)}`);
}

/**
 * Waits until an expression is true in the page, and looks at each frame. Returns the browser's time in ms since the
 * epoch. `page.waitForFunction` would violate the content security policy.
 */
export async function untilTrue(page: Page, condition: string, timeoutMs: number): Promise<number> {
  const atMs = await page.evaluate(`new Promise((resolve) => {
    const endMs = performance.now() + ${timeoutMs};
    const look = () => {
      if (${condition}) resolve(Date.now());
      else if (performance.now() > endMs) resolve(undefined);
      else requestAnimationFrame(look);
    };
    look();
  })`);
  if (typeof atMs === "number") return atMs;
  throw new Error(`this did not become true within ${timeoutMs} ms: ${condition}`);
}
