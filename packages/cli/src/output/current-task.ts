import type { Service, Task } from "@berth/proto";

/** Asks whether a task runs what its service now asks for; a service may have gone back to what older tasks run. */
export function currentTaskFilter(service: Service | undefined): (task: Task) => boolean {
  if (service === undefined) return () => true;
  const { templates, templateVersion } = service;
  if (templates.length === 0) return ({ specVersion }) => specVersion >= templateVersion;
  return ({ specVersion }) => {
    const mark = templates.findLast(({ version }) => version <= specVersion);
    return mark?.templateVersion === templateVersion;
  };
}
