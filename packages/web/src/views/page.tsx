import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { route } from "../app/router.js";
import { session } from "../app/session.js";
import { assertNever } from "../core/assert-never.js";
import type { Route } from "../core/route/route.js";
import { ClusterView } from "./cluster/cluster-view.js";
import { Login } from "./login.js";
import { MapView } from "./map/map-view.js";
import { NodeView } from "./node/node-view.js";
import { NodesView } from "./node/nodes-view.js";
import { PageHeader } from "./page-header.js";
import { PresentView } from "./present/present-view.js";
import { ServiceView } from "./service/service-view.js";
import { ServicesView } from "./service/services-view.js";
import { StacksView } from "./stack/stacks-view.js";
import { TaskView } from "./task/task-view.js";
import { ReplayBanner } from "./timeline/replay-control.js";
import { TimelineView } from "./timeline/timeline-view.js";

/** The web UI of a user who is logged in, or the login. */
export function Page(): JSX.Element {
  const current = route.value;
  useEffect(() => {
    document.title = `${titleOf(current)} · berth`;
  }, [current]);
  if (session.value.kind === "logged-out") return <Login />;
  if (current.view === "present") return <PresentView />;
  return (
    <>
      <button type="button" class="skip" onClick={() => document.querySelector("main")?.focus()}>
        Skip to content
      </button>
      <PageHeader />
      <main id="content" tabIndex={-1}>
        <ReplayBanner />
        <RouteView route={current} />
      </main>
    </>
  );
}

function RouteView({ route: current }: { readonly route: Route }): JSX.Element {
  switch (current.view) {
    case "map":
      return <MapView />;
    case "services":
      return <ServicesView />;
    case "service":
      return <ServiceView name={current.name} />;
    case "nodes":
      return <NodesView />;
    case "node":
      return <NodeView name={current.name} />;
    case "task":
      return <TaskView id={current.id} />;
    case "stacks":
      return <StacksView />;
    case "timeline":
      return <TimelineView />;
    case "cluster":
      return <ClusterView />;
    case "present":
      return <PresentView />;
    default:
      return assertNever(current);
  }
}

function titleOf(current: Route): string {
  switch (current.view) {
    case "service":
    case "node":
      return `${current.view} ${current.name}`;
    default:
      return current.view;
  }
}
