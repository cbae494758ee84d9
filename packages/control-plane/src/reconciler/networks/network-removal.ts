import { isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { Writer } from "../writer.js";

/** The last tasks of a stack end one after the other. */
const COALESCE_MS = 50;
const RETRY_MS = 1_000;

export interface NetworkRemovalOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** Forgets networks that are to go once nothing uses them any more, until `signal` aborts. */
export async function removeUnusedNetworks(
  options: NetworkRemovalOptions,
  signal: AbortSignal,
): Promise<void> {
  const { state, writer, runtime, logger } = options;
  let cancel: (() => void) | undefined;
  const lookSoon = (delayMs = COALESCE_MS): void => {
    if (signal.aborted || state.networks.leaving().size === 0) return;
    cancel ??= runtime.clock.after(delayMs, look);
  };
  const look = (): void => {
    cancel = undefined;
    if (unusedNetworks(state).length === 0) return;
    writer.submit(forgetUnused, signal).then(
      (names) => names.forEach((network) => void logger.info({ network }, "removed a network")),
      (error: unknown) => {
        if (signal.aborted) return;
        logger[isBerthError(error) ? "warn" : "error"]({ err: error }, "networks could not be removed");
        lookSoon(RETRY_MS);
      },
    );
  };
  const unsubscribe = state.onChange(() => lookSoon());
  lookSoon();
  await new Promise<void>((resolve) => onAbort(signal, resolve));
  unsubscribe();
  cancel?.();
}

function forgetUnused(state: ClusterState): {
  readonly changes: readonly Change[];
  readonly result: readonly string[];
} {
  const ids = unusedNetworks(state);
  return {
    changes: ids.flatMap((id) => networkRemoval(id, state)),
    result: ids.map((id) => state.networks.get(id)?.spec?.name ?? id),
  };
}

function unusedNetworks(state: ClusterState): readonly string[] {
  return [...state.networks.leaving().values()]
    .filter(({ spec }) => spec === undefined || !isUsed(spec.name, state))
    .map(({ id }) => id);
}

/** By a service, or by a task of one that uses it no more. */
function isUsed(name: string, state: ClusterState): boolean {
  return state.services.ofNetwork(name).size > 0 || state.nodes.tasksIn(name) > 0;
}

/** The network's own record goes last: while it is there, an interrupted removal is taken up again. */
function networkRemoval(networkId: string, state: ClusterState): readonly Change[] {
  const { ranges, vips } = state.networks;
  return [
    ...[...vips.ofFirst(networkId).keys()].map(
      (serviceId): Change => ({ kind: "delete-vip", networkId, serviceId }),
    ),
    ...[...ranges.ofFirst(networkId).keys()].map(
      (nodeId): Change => ({ kind: "delete-range", networkId, nodeId }),
    ),
    { kind: "delete-network", networkId },
  ];
}
