import type { JSX } from "preact";
import { type DeployPlan, planSummary, type ServicePlan } from "../../core/model/deploy-plan.js";
import { DataTable } from "../shared/data-table.js";

/** What a deployment would change, and in which order. */
export function PlanView({ plan }: { readonly plan: DeployPlan }): JSX.Element {
  return (
    <section class="part" aria-labelledby="plan-title">
      <h3 id="plan-title">Plan: {planSummary(plan)}</h3>
      {plan.warnings.length > 0 && (
        <ul class="problems warning">
          {plan.warnings.map((warning) => (
            <li key={warning}>{warning}</li>
          ))}
        </ul>
      )}
      {plan.services.map((service) => (
        <ServicePlanView key={service.name} service={service} />
      ))}
      {plan.others.length > 0 && (
        <ul class="plain">
          {plan.others.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      )}
    </section>
  );
}

function ServicePlanView({ service }: { readonly service: ServicePlan }): JSX.Element {
  const { name, outcome, changes, steps, omittedSteps, problems, rollout, replacesTasks } = service;
  const effect = replacesTasks ? `replaces its tasks (${rollout})` : "";
  return (
    <details open={outcome !== "unchanged"}>
      <summary>
        {name}: {[outcome, effect].filter(Boolean).join(", ")}
      </summary>
      {problems.map((problem) => (
        <p key={problem} class="error">
          {problem}
        </p>
      ))}
      {changes.length > 0 && (
        <DataTable
          caption={`Changes of ${name}`}
          rows={changes}
          keyOf={({ path }) => path}
          empty=""
          columns={[
            { title: "Field", cell: ({ path }) => <code>{path}</code> },
            { title: "Before", cell: ({ before }) => before || "not set" },
            { title: "After", cell: ({ after }) => after || "not set" },
          ]}
        />
      )}
      {steps.length > 0 && (
        <ol class="plain">
          {steps.map(({ round, text, reason, isUnplaced }) => (
            <li key={`${round}/${text}`} class={isUnplaced ? "error" : ""}>
              Round {round}: {[text, reason].filter(Boolean).join(": ")}
            </li>
          ))}
        </ol>
      )}
      {omittedSteps > 0 && <p class="note">{omittedSteps} more steps of the same kind.</p>}
    </details>
  );
}
