import { Dependency_Condition, type ServiceSpec } from "../../gen/berth/v1/spec.js";
import { serviceNameProblem } from "./names.js";
import type { Report } from "./violation.js";

const CONDITIONS: readonly Dependency_Condition[] = [
  Dependency_Condition.STARTED,
  Dependency_Condition.HEALTHY,
  Dependency_Condition.COMPLETED,
];
/** Each is looked at whenever one of them changes. */
const MAX_DEPENDENCIES = 100;

/** Checks what a service waits for, as far as it can be seen from the service alone. */
export function validateDependencies({ name, dependsOn }: ServiceSpec, report: Report): void {
  if (dependsOn.length > MAX_DEPENDENCIES) {
    report(
      "depends_on",
      `a service can wait for ${MAX_DEPENDENCIES} others, this one has ${dependsOn.length}`,
    );
    return;
  }
  const seen = new Set<string>();
  dependsOn.forEach(({ service, condition }, index) => {
    const path = `depends_on[${index}]`;
    const problem = serviceNameProblem(service);
    if (problem !== undefined) report(`${path}.service`, problem);
    if (service === name) report(path, "a service cannot wait for itself");
    else if (seen.has(service)) report(path, `${service} is named twice`);
    if (!CONDITIONS.includes(condition)) report(`${path}.condition`, "it says not what it waits for");
    seen.add(service);
  });
}
