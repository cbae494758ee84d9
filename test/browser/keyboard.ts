import type { Page } from "playwright-core";

/** More elements than a view has. */
const MAX_STEPS = 200;

/** The text, label or value by which a user recognizes the element that has the focus. */
const FOCUSED_TEXT = `(() => {
  const element = document.activeElement;
  const texts = [element.ariaLabel, element.labels?.[0]?.textContent, element.value, element.innerText];
  return texts.filter(Boolean).map((text) => text.trim().replace(/\\s+/g, " "));
})()`;

/** Presses Tab until an element with this text, label or value has the focus. */
export async function moveFocusTo(
  page: Page,
  text: string,
  { isBackward = false }: { readonly isBackward?: boolean } = {},
): Promise<void> {
  const passed = new Set<string>();
  for (let step = 0; step < MAX_STEPS; step += 1) {
    const texts = (await page.evaluate(FOCUSED_TEXT)) as readonly string[];
    if (texts.includes(text)) return;
    for (const each of texts) passed.add(each.slice(0, 40));
    await page.keyboard.press(isBackward ? "Shift+Tab" : "Tab");
  }
  throw new Error(`the tab key does not reach ${JSON.stringify(text)}; it passed ${[...passed].join(", ")}`);
}
