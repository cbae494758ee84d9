import { effect, signal } from "@preact/signals";
import type { Density } from "../core/map/density.js";
import { DENSITIES } from "../core/map/density.js";

export type Theme = "system" | "light" | "dark";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

/** Settings of this browser. */
export const theme = signal<Theme>(read("theme", THEMES, "system"));
export const density = signal<Density | "automatic">(
  read("density", [...DENSITIES, "automatic"], "automatic"),
);
export const mapLayout = signal<"map" | "table">(read("map-form", ["map", "table"], "map"));

/** Stores changes, and applies the theme to the document. */
export function startPreferences(): void {
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    write("theme", theme.value);
  });
  effect(() => write("density", density.value));
  effect(() => write("map-form", mapLayout.value));
}

/** Returns the next theme, for a button that switches between them. */
export function nextTheme(current: Theme): Theme {
  return THEMES[(THEMES.indexOf(current) + 1) % THEMES.length] ?? "system";
}

function read<T extends string>(key: string, values: readonly T[], fallback: T): T {
  try {
    const stored = localStorage.getItem(`berth-${key}`);
    return values.find((value) => value === stored) ?? fallback;
  } catch {
    // Storage can be disabled.
    return fallback;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(`berth-${key}`, value);
  } catch {
    // The setting lasts until the web UI is closed.
  }
}
