/** A view of the web UI. Routes are in the fragment of the URL, so the server has one HTML file. */
export type Route =
  | { readonly view: "map" }
  | { readonly view: "services" }
  | { readonly view: "service"; readonly name: string }
  | { readonly view: "nodes" }
  | { readonly view: "node"; readonly name: string }
  | { readonly view: "task"; readonly id: string }
  | { readonly view: "stacks" }
  | { readonly view: "timeline" }
  | { readonly view: "cluster" }
  | { readonly view: "present" };

/** Returns the route of a fragment such as "#/services/shop_web". The map for an unknown one. */
export function parseRoute(fragment: string): Route {
  const [view = "", ...rest] = fragment.replace(/^#\/?/, "").split("/").map(decode);
  const name = rest.join("/");
  switch (view) {
    case "services":
      return name === "" ? { view: "services" } : { view: "service", name };
    case "nodes":
      return name === "" ? { view: "nodes" } : { view: "node", name };
    case "tasks":
      return name === "" ? { view: "map" } : { view: "task", id: name };
    case "stacks":
    case "timeline":
    case "cluster":
    case "present":
      return { view };
    default:
      return { view: "map" };
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Returns the fragment of a route, for links. */
export function routePath(route: Route): string {
  switch (route.view) {
    case "map":
      return "#/";
    case "service":
      return `#/services/${encodeURIComponent(route.name)}`;
    case "node":
      return `#/nodes/${encodeURIComponent(route.name)}`;
    case "task":
      return `#/tasks/${encodeURIComponent(route.id)}`;
    default:
      return `#/${route.view}`;
  }
}
