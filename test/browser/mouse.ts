import type { Locator, Page } from "playwright-core";

interface Point {
  readonly x: number;
  readonly y: number;
}

/** The mask of the DevTools protocol for dropping a copy. */
const COPY = 1;
/** Half the width of the thumb of a slider. */
const THUMB_RADIUS = 8;
/** Number of positions of the mouse between the start and the end of a movement. */
const STEPS = 12;

/** Drags files of the disk over an element, and drops them there. */
export async function dropFiles(page: Page, target: Locator, paths: readonly string[]): Promise<void> {
  const { x, y, width, height } = await boxOf(target);
  const data = { items: [], files: [...paths], dragOperationsMask: COPY };
  const session = await page.context().newCDPSession(page);
  try {
    for (const type of ["dragEnter", "dragOver", "drop"] as const) {
      await session.send("Input.dispatchDragEvent", { type, x: x + width / 2, y: y + height / 2, data });
    }
  } finally {
    await session.detach();
  }
}

/** Returns where the thumb of a slider is, from 0 on the left to 1 on the right. */
export async function shareOfValue(slider: Locator): Promise<number> {
  const [min, max] = await Promise.all(["min", "max"].map((name) => slider.getAttribute(name)));
  const value = Number(await slider.inputValue());
  return (value - Number(min)) / (Number(max) - Number(min));
}

/** Presses the mouse button on the thumb of a slider, at a share of its width. */
export async function grabThumb(page: Page, slider: Locator, share: number): Promise<void> {
  const { x, y } = await pointOnSlider(slider, share);
  await page.mouse.move(x, y);
  await page.mouse.down();
}

/** Moves the mouse, with its button pressed, to a share of the width of a slider. */
export async function dragThumb(page: Page, slider: Locator, share: number): Promise<void> {
  const { x, y } = await pointOnSlider(slider, share);
  await page.mouse.move(x, y, { steps: STEPS });
}

async function pointOnSlider(slider: Locator, share: number): Promise<Point> {
  const { x, y, width, height } = await boxOf(slider);
  return { x: x + THUMB_RADIUS + share * (width - 2 * THUMB_RADIUS), y: y + height / 2 };
}

async function boxOf(target: Locator): Promise<Point & { readonly width: number; readonly height: number }> {
  await target.scrollIntoViewIfNeeded();
  const box = await target.boundingBox();
  if (box === null) throw new Error("the element is not visible");
  return box;
}
