import { signal } from "@preact/signals";
import { parseRoute, type Route, routePath } from "../core/route/route.js";

export const route = signal<Route>({ view: "map" });

/** Follows the fragment of the URL. */
export function startRouter(): void {
  const update = (): void => {
    route.value = parseRoute(location.hash);
    document.querySelector("main")?.focus({ preventScroll: true });
  };
  addEventListener("hashchange", update);
  route.value = parseRoute(location.hash);
}

export function navigate(to: Route): void {
  location.hash = routePath(to);
}
