import { Dependency_Condition, type ServiceSpec } from "../../gen/berth/v1/spec.js";
import { serviceNameProblem } from "./names.js";
import type { Report } from "./violation.js";

const CONDITIONS: readonly Dependency_Condition[] = [
  Dependency_Condition.STARTED,
  Dependency_Condition.HEALTHY,
  Dependency_Condition.COMPLETED,
];
/** Maximum number of dependencies. All of them are evaluated whenever one changes. */
const MAX_DEPENDENCIES = 100;

/** Checks the dependencies of a service. Whether the other services exist is not checked. */
export function validateDependencies({ name, dependsOn }: ServiceSpec, report: Report): void {
  if (dependsOn.length > MAX_DEPENDENCIES) {
    report("depends_on", `too many dependencies (${dependsOn.length}, maximum ${MAX_DEPENDENCIES})`);
    return;
  }
  const seen = new Set<string>();
  dependsOn.forEach(({ service, condition }, index) => {
    const path = `depends_on[${index}]`;
    const problem = serviceNameProblem(service);
    if (problem !== undefined) report(`${path}.service`, problem);
    if (service === name) {
      report(path, "a service cannot depend on itself");
    } else if (seen.has(service)) {
      report(path, `${service} is named twice`);
    }
    if (!CONDITIONS.includes(condition)) report(`${path}.condition`, "the condition is not set");
    seen.add(service);
  });
}
