import type { JSX } from "preact";
import { call } from "../../app/api.js";
import { canChange } from "../../app/session.js";
import type { Service } from "../../core/model/service.js";
import type { Revision } from "../../core/model/service-details.js";
import { ActionButton, ActionResult, useAction } from "../shared/action.js";

export interface RevisionsProps {
  readonly service: Service;
  /** The revisions, newest first. */
  readonly revisions: readonly Revision[];
}

/** The versions of a service, with a button that restores one of them. */
export function Revisions({ service, revisions }: RevisionsProps): JSX.Element {
  const action = useAction();
  const rollBack = (version: number) => async (): Promise<string> => {
    await call("RollbackService", { service: service.id, toVersion: version });
    return `Restoring version ${version}.`;
  };
  return (
    <>
      <ul class="plain revisions">
        {revisions.map(({ version, image }) => (
          <li key={version}>
            <span>
              Version {version}: {image}
              {service.healthyVersions.includes(version) && ", was healthy"}
            </span>
            {version === service.version && <strong>current</strong>}
            {version !== service.version && canChange.value && (
              <ActionButton action={action} task={rollBack(version)}>
                Roll back to version {version}
              </ActionButton>
            )}
          </li>
        ))}
      </ul>
      <ActionResult action={action} />
    </>
  );
}
