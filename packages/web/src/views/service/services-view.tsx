import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import type { Service } from "../../core/model/service.js";
import { routePath } from "../../core/route/route.js";
import { formatAgo } from "../../format/format.js";
import { DataTable } from "../shared/data-table.js";

/** A table of all services. */
export function ServicesView(): JSX.Element {
  void cluster.revision.value;
  return (
    <>
      <h1>Services</h1>
      <div class="part">
        <ServiceTable
          caption="Services"
          services={[...cluster.store.services.values()]}
          empty="No services. Deploy a stack first."
        />
      </div>
    </>
  );
}

export interface ServiceTableProps {
  readonly caption: string;
  readonly services: readonly Service[];
  readonly empty: string;
}

export function ServiceTable({ caption, services, empty }: ServiceTableProps): JSX.Element {
  return (
    <DataTable
      caption={caption}
      rows={services.toSorted((a, b) => a.name.localeCompare(b.name))}
      keyOf={({ id }) => id}
      empty={empty}
      columns={[
        {
          title: "Service",
          cell: ({ name }) => (
            <>
              <span class={`swatch service-${cluster.colors.colorOf(name)}`} aria-hidden="true" />{" "}
              <a href={routePath({ view: "service", name })}>{name}</a>
            </>
          ),
        },
        { title: "Mode", cell: ({ mode }) => mode.replace("_", " ") },
        { title: "Running", cell: runningText, isNumber: true },
        { title: "Image", cell: ({ image }) => image },
        { title: "Updated", cell: ({ updatedAtMs }) => formatAgo(updatedAtMs, cluster.now()) },
        { title: "Reason", cell: ({ reasons }) => reasons.join("; ") },
      ]}
    />
  );
}

/** Counts the tasks that are known to run. While the web UI is cut off, it does not know any. */
export function runningText({ id, desired }: Service): string {
  return cluster.isCurrent.value ? `${cluster.runningTasks.value.get(id) ?? 0}/${desired}` : `?/${desired}`;
}
