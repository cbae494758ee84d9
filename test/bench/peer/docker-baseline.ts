import type { DockerApi } from "../docker-api.js";

/** What identifies the floor's containers. */
export const BASELINE_LABEL = "bench.floor";
/** Labels by which an orchestrator knows its containers: with them, it would take the floor's for its own. */
const FOREIGN_LABEL = /^(berth\.|com\.docker\.)/;

/** The body of `POST /containers/create`. */
export type ContainerBody = Readonly<Record<string, unknown>>;

interface InspectedContainer {
  readonly Id: string;
  readonly Config: Readonly<Record<string, unknown>> & { readonly Labels: Readonly<Record<string, string>> };
  readonly HostConfig: Readonly<Record<string, unknown>>;
}

export interface BaselineOptions {
  readonly count: number;
  readonly body: ContainerBody;
  /** Containers in the making at once on each host. */
  readonly concurrency: number;
  readonly signal: AbortSignal;
}

/** What to send to Docker to get a container like this one, without the labels of the one who made it. */
export async function bodyLike(api: DockerApi, id: string): Promise<ContainerBody> {
  const { Id, Config, HostConfig } = await api.get<InspectedContainer>(`/containers/${id}/json`);
  const { Hostname, Labels, ...config } = Config;
  const labels = Object.fromEntries(Object.entries(Labels).filter(([key]) => !FOREIGN_LABEL.test(key)));
  const ownHostname = Hostname === Id.slice(0, 12) ? {} : { Hostname };
  return { ...config, ...ownHostname, Labels: { ...labels, [BASELINE_LABEL]: "1" }, HostConfig };
}

/**
 * The least that it takes to start containers: create and start, one call each, over the sockets of all hosts at once,
 * spread evenly, by somebody who knows everything beforehand.
 */
export async function startBaseline(apis: readonly DockerApi[], options: BaselineOptions): Promise<void> {
  const share = Math.ceil(options.count / apis.length);
  await Promise.all(
    apis.map((api, index) => startShare(api, Math.min(share, options.count - index * share), options)),
  );
}

async function startShare(api: DockerApi, count: number, options: BaselineOptions): Promise<void> {
  const { body, concurrency, signal } = options;
  let left = count;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const { Id } = await api.call<{ Id: string }>("POST", "/containers/create", { body, signal });
      await api.call("POST", `/containers/${Id}/start`, { signal });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
}
