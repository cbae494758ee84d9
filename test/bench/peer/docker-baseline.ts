import { type DockerApi, filters } from "../docker-api.js";

/** Label of the baseline's containers. */
export const BASELINE_LABEL = "bench.baseline";
/** Labels by which orchestrators find their containers. They must not adopt the baseline's containers. */
const ORCHESTRATOR_LABEL = /^(berth\.|com\.docker\.)/;
const NETWORK_NAME = "bench-baseline";
/** Outside 10.0.0.0/8, where any address may belong to the lab. */
const NETWORK_SUBNET = "172.31.128.0/18";
const BRIDGE_NAME_OPTION = "com.docker.network.bridge.name";

/** The body of `POST /containers/create`. */
export type ContainerBody = Readonly<Record<string, unknown>>;

/** The body of `POST /networks/create`. */
export interface BaselineNetwork {
  readonly Name: string;
  readonly Driver: string;
  readonly Options: Readonly<Record<string, string>>;
  readonly IPAM: { readonly Config: readonly { readonly Subnet: string }[] };
}

interface InspectedContainer {
  readonly Id: string;
  readonly Config: Readonly<Record<string, unknown>> & { readonly Labels: Readonly<Record<string, string>> };
  readonly HostConfig: Readonly<Record<string, unknown>>;
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, { readonly NetworkID: string }>> };
}

interface InspectedNetwork {
  readonly Driver: string;
  readonly Options: Readonly<Record<string, string>>;
}

export interface Baseline {
  readonly body: ContainerBody;
  readonly network: BaselineNetwork;
}

export interface BaselineOptions {
  readonly count: number;
  readonly body: ContainerBody;
  /** Number of containers to start at the same time on each host. */
  readonly concurrency: number;
  readonly signal: AbortSignal;
}

/**
 * Returns the requests that create a copy of the first container with this label: the container without its
 * orchestrator's labels, and a network of the same kind as the container's.
 */
export async function baselineLike(apis: readonly DockerApi[], label: string): Promise<Baseline> {
  for (const api of apis) {
    const [first] = await api.get<{ Id: string }[]>(`/containers/json?${filters({ label: [label] })}`);
    if (first !== undefined) return await copyOf(api, first.Id);
  }
  throw new Error(`no container has the label ${label}`);
}

async function copyOf(api: DockerApi, id: string): Promise<Baseline> {
  const { Id, Config, HostConfig, NetworkSettings } = await api.get<InspectedContainer>(
    `/containers/${id}/json`,
  );
  const { Hostname, Labels, ...config } = Config;
  const labels = Object.fromEntries(Object.entries(Labels).filter(([key]) => !ORCHESTRATOR_LABEL.test(key)));
  const ownHostname = Hostname === Id.slice(0, 12) ? {} : { Hostname };
  const [network] = Object.values(NetworkSettings.Networks);
  if (network === undefined) throw new Error(`container ${id} is in no network`);
  const { Driver, Options } = await api.get<InspectedNetwork>(`/networks/${network.NetworkID}`);
  const { [BRIDGE_NAME_OPTION]: _, ...options } = Options;
  return {
    body: {
      ...config,
      ...ownHostname,
      Labels: { ...labels, [BASELINE_LABEL]: "1" },
      HostConfig: { ...HostConfig, NetworkMode: NETWORK_NAME },
    },
    network: {
      Name: NETWORK_NAME,
      Driver,
      Options: options,
      IPAM: { Config: [{ Subnet: NETWORK_SUBNET }] },
    },
  };
}

/**
 * Starts containers with the fewest possible API calls, create and start, spread evenly over all hosts at once. No
 * orchestrator can be faster.
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
