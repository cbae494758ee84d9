import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { canChange } from "../../app/session.js";
import { ServiceTable } from "../service/services-view.js";
import { Section } from "../shared/details.js";
import { DeployForm } from "./deploy-form.js";

/** The stacks with their services, and the deployment of a Compose file. */
export function StacksView(): JSX.Element {
  void cluster.revision.value;
  const services = [...cluster.store.services.values()];
  const stacks = [...new Set(services.map(({ stack }) => stack))].sort();
  return (
    <>
      <h1>Stacks</h1>
      {canChange.value && <DeployForm />}
      {stacks.length === 0 && <p class="empty">No stacks.</p>}
      {stacks.map((stack) => (
        <Section key={stack} title={titleOf(stack)}>
          <ServiceTable
            caption={titleOf(stack)}
            services={services.filter((service) => service.stack === stack)}
            empty="No services."
          />
        </Section>
      ))}
    </>
  );
}

function titleOf(stack: string): string {
  return stack === "" ? "Services without a stack" : `Stack ${stack}`;
}
