import { isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { untilAborted } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { Decision, Writer } from "../writer.js";

/** Delay of the check after a change, since the last tasks of a stack end shortly after each other. */
const CHECK_DELAY_MS = 50;

/** Pause after a failed removal. */
const RETRY_MS = 1_000;

export interface NetworkRemovalOptions {
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** Deletes the records of networks that are being removed once nothing uses them, until `signal` is aborted. */
export async function removeUnusedNetworks(
  options: NetworkRemovalOptions,
  signal: AbortSignal,
): Promise<void> {
  const { state, writer, runtime, logger } = options;
  let cancelCheck: (() => void) | undefined;
  const scheduleCheck = (delayMs = CHECK_DELAY_MS): void => {
    if (signal.aborted || state.networks.removing().size === 0) return;
    cancelCheck ??= runtime.clock.after(delayMs, deleteIfUnused);
  };
  const deleteIfUnused = (): void => {
    cancelCheck = undefined;
    if (unusedNetworks(state).length === 0) return;
    writer.submit(deleteUnused, signal).then(
      (names) => {
        for (const network of names) logger.info({ network }, "network removed");
      },
      (error: unknown) => {
        if (signal.aborted) return;
        logger[isBerthError(error) ? "warn" : "error"]({ err: error }, "failed to remove networks");
        scheduleCheck(RETRY_MS);
      },
    );
  };
  const unsubscribe = state.onChange(() => scheduleCheck());
  scheduleCheck();
  await untilAborted(signal);
  unsubscribe();
  cancelCheck?.();
}

/** Decides to delete the unused networks. Returns their names. */
function deleteUnused(state: ClusterState): Decision<readonly string[]> {
  const ids = unusedNetworks(state);
  return {
    changes: ids.flatMap((id) => networkDeletion(id, state)),
    result: ids.map((id) => state.networks.get(id)?.spec?.name ?? id),
  };
}

/** Returns the IDs of the networks that are being removed and that nothing uses. */
function unusedNetworks(state: ClusterState): readonly string[] {
  return [...state.networks.removing().values()]
    .filter(({ spec }) => spec === undefined || !isUsed(spec.name, state))
    .map(({ id }) => id);
}

/** Returns whether services are attached to a network, or tasks of services that have left it. */
function isUsed(name: string, state: ClusterState): boolean {
  return state.services.ofNetwork(name).size > 0 || state.nodes.tasksIn(name) > 0;
}

/** Returns the deletions of a network's records. Its own record is the last one, so an interrupted removal is resumed. */
function networkDeletion(networkId: string, state: ClusterState): readonly Change[] {
  const { ranges, vips } = state.networks;
  return [
    ...[...vips.ofNetwork(networkId).keys()].map(
      (serviceId): Change => ({ kind: "delete-vip", networkId, serviceId }),
    ),
    ...[...ranges.ofNetwork(networkId).keys()].map(
      (nodeId): Change => ({ kind: "delete-range", networkId, nodeId }),
    ),
    { kind: "delete-network", networkId },
  ];
}
