import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { cluster } from "../app/cluster.js";
import { nextTheme, type Theme, theme } from "../app/preferences.js";
import { route } from "../app/router.js";
import { logOut, session } from "../app/session.js";
import type { Freshness } from "../core/cluster/freshness.js";
import { safeWebUrl } from "../core/model/control-plane.js";
import { type Route, routePath } from "../core/route/route.js";
import { formatDuration, formatTime } from "../format/format.js";

const LINKS: readonly {
  readonly title: string;
  readonly to: Route;
  readonly views: readonly Route["view"][];
}[] = [
  { title: "Map", to: { view: "map" }, views: ["map", "task"] },
  { title: "Services", to: { view: "services" }, views: ["services", "service"] },
  { title: "Nodes", to: { view: "nodes" }, views: ["nodes", "node"] },
  { title: "Stacks", to: { view: "stacks" }, views: ["stacks"] },
  { title: "Timeline", to: { view: "timeline" }, views: ["timeline"] },
  { title: "Cluster", to: { view: "cluster" }, views: ["cluster"] },
];

/** The navigation, how up to date the web UI is, and who uses it. */
export function PageHeader(): JSX.Element {
  return (
    <header class="page-header">
      <span class="brand">
        <img src="icon.svg" alt="" />
        <span>berth</span>
      </span>
      <nav aria-label="Views">
        <ul>
          {LINKS.map(({ title, to, views }) => (
            <li key={title}>
              <a href={routePath(to)} aria-current={views.includes(route.value.view) ? "page" : undefined}>
                {title}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <div class="header-end">
        <ConnectionStatus />
        <a class="button" href={routePath({ view: "present" })}>
          Present
        </a>
        <ThemeButton />
        <SessionStatus />
      </div>
    </header>
  );
}

const THEME_SYMBOLS: Readonly<Record<Theme, string>> = { system: "◐", light: "☀", dark: "☾" };

function ThemeButton(): JSX.Element {
  const label = `Theme: ${theme.value}`;
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      onClick={() => (theme.value = nextTheme(theme.value))}
    >
      {THEME_SYMBOLS[theme.value]}
    </button>
  );
}

function SessionStatus(): JSX.Element | null {
  const current = session.value;
  if (current.kind !== "logged-in") return null;
  return (
    <>
      <span class="note user">
        {current.user} ({current.isReadOnly ? "read-only" : current.role})
      </span>
      {current.expiresAtMs > 0 && (
        <button type="button" onClick={() => void logOut()}>
          Log out
        </button>
      )}
    </>
  );
}

/** Shows whether the data is current. Screen readers announce a new state, but not its changing duration. */
export function ConnectionStatus(): JSX.Element {
  const { value } = cluster.freshness;
  return (
    <p class="connection" data-kind={value.kind}>
      <span role="status">{conditionText(value)}</span>
      {value.kind === "behind" && <span> by {formatDuration(value.byMs)}</span>}
      {value.kind === "cut-off" && value.sinceMs > 0 && (
        <>
          {" "}
          <Since atMs={value.sinceMs} />
          <OtherServers />
        </>
      )}
    </p>
  );
}

function conditionText(value: Freshness): string {
  switch (value.kind) {
    case "loading":
      return "Loading";
    case "live":
      return "● Live";
    case "behind":
      return "▲ Behind";
    case "cut-off":
      return `✕ Cut off: ${value.reason}`;
  }
}

/** Links to the web UIs of the other servers, in case this server is down. */
function OtherServers(): JSX.Element | null {
  const urls = (cluster.store.controlPlane?.servers ?? [])
    .map((server) => ({ name: server.hostname, url: safeWebUrl(server) }))
    .filter(({ url }) => url !== "" && new URL(url).host !== location.host);
  if (urls.length === 0 || location.protocol !== "https:") return null;
  return (
    <>
      {" "}
      Other servers:{" "}
      {urls.map(({ name, url }) => (
        <a key={url} href={url}>
          {name}
        </a>
      ))}
    </>
  );
}

/** The time of the last change and its age, by the browser's clock. */
function Since({ atMs }: { readonly atMs: number }): JSX.Element {
  const now = useSignal(Date.now());
  useEffect(() => {
    const timer = setInterval(() => (now.value = Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <span>
      (last change seen at {formatTime(atMs)}, {formatDuration(now.value - atMs)} ago)
    </span>
  );
}
