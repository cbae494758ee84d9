import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { query } from "../../app/api.js";
import { errorText } from "../../app/api-error.js";
import { cluster } from "../../app/cluster.js";
import type { Service } from "../../core/model/service.js";
import { decodeServiceDetails, type ServiceDetails } from "../../core/model/service-details.js";
import type { Task } from "../../core/model/task.js";
import { formatAgo, formatCount, formatDateTime } from "../../format/format.js";
import { Details, Section } from "../shared/details.js";
import { EventList } from "../shared/event-list.js";
import { Inspect } from "../shared/inspect.js";
import { TaskLogs } from "../task/task-logs.js";
import { Revisions } from "./revisions.js";
import { RolloutView } from "./rollout.js";
import { ScaleControl } from "./scale-control.js";
import { Endpoints, ServiceTraffic } from "./service-traffic.js";
import { runningText } from "./services-view.js";

/** One service: its rollout by slot, revisions, endpoints, traffic and logs. */
export function ServiceView({ name }: { readonly name: string }): JSX.Element {
  void cluster.revision.value;
  const service = [...cluster.store.services.values()].find(
    (other) => other.name === name || other.id === name,
  );
  if (service === undefined) return <p class="empty">There is no service {name}.</p>;
  const tasks = [...cluster.store.tasks.values()].filter(({ serviceId }) => serviceId === service.id);
  const events = cluster.events.filter(({ serviceId }) => serviceId === service.id);
  return (
    <>
      <h1>
        <span class={`swatch service-${cluster.colors.colorOf(service.name)}`} aria-hidden="true" /> Service{" "}
        {service.name}
      </h1>
      <Summary service={service} />
      <Section title="Slots">
        <RolloutView service={service} tasks={tasks} />
      </Section>
      <FetchedDetails key={service.id} service={service} tasks={tasks} />
      <div class="columns">
        <Section title="Traffic">
          <ServiceTraffic service={service} />
        </Section>
        <Section title="Scaling history">
          <EventList
            events={events.filter(({ reason }) => reason === "SCALED")}
            limit={10}
            empty="The number of replicas has not changed."
          />
        </Section>
      </div>
      <Section title="Events">
        <EventList events={events} limit={15} />
      </Section>
      <Section title="Logs">
        <TaskLogs key={`${service.id}-logs`} target={service.id} fileName={service.name} />
      </Section>
      <Inspect key={`${service.id}-inspect`} method="GetService" request={{ service: service.id }} />
    </>
  );
}

function Summary({ service }: { readonly service: Service }): JSX.Element {
  const { autoscale, reasons } = service;
  return (
    <>
      <Details
        appearance="tiles"
        entries={[
          ["Running", <strong>{runningText(service)}</strong>],
          ["Image", service.image],
          ["Stack", service.stack],
          ["Version", `${service.version}, updated ${formatAgo(service.updatedAtMs, cluster.now())}`],
          ["Ports", service.ports.map(({ published, target }) => `${published} → ${target}`).join(", ")],
          ["Networks", service.networks.join(", ")],
          [
            "Autoscaling",
            autoscale &&
              `${autoscale.minReplicas} to ${autoscale.maxReplicas}; ${formatCount(autoscale.replicas, "replica")} since ${formatDateTime(autoscale.changedAtMs)}: ${autoscale.message}`,
          ],
        ]}
      />
      {reasons.length > 0 && (
        <ul class="problems warning" aria-label="Why the service has not converged">
          {reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      )}
    </>
  );
}

/** Fetches what the stream of changes does not have, after each change of the version or of the running tasks. */
function FetchedDetails({
  service,
  tasks,
}: {
  readonly service: Service;
  readonly tasks: readonly Task[];
}): JSX.Element {
  const details = useSignal<ServiceDetails | undefined>(undefined);
  const error = useSignal("");
  const running = tasks.filter(({ state }) => state === "running").map(({ id }) => id);
  useEffect(() => {
    const ended = new AbortController();
    query("GetService", { service: service.id }, ended.signal).then(
      (response) => {
        details.value = decodeServiceDetails(response);
        error.value = "";
      },
      (reason: unknown) => {
        if (!ended.signal.aborted) error.value = errorText(reason);
      },
    );
    return () => ended.abort();
  }, [service.id, service.version, running.join()]);
  if (error.value !== "") return <p class="error">{error.value}</p>;
  if (details.value === undefined) return <p class="note">Loading revisions and endpoints.</p>;
  const { revisions, listeners, replicas } = details.value;
  return (
    <div class="columns">
      <Section title="Scale and revisions">
        <ScaleControl key={replicas} service={service} replicas={replicas} />
        <Revisions service={service} revisions={revisions} />
      </Section>
      <Section title="Endpoints">
        <Endpoints listeners={listeners} />
      </Section>
    </div>
  );
}
