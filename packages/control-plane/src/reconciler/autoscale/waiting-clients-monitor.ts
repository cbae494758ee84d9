import type { Service, WaitingClients } from "@berth/proto";
import { type WaitChange, WaitingClientsTracker } from "../../core/endpoints/waiting-clients.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { ClusterState } from "../../state/cluster-state.js";

export interface WaitingClientsMonitorOptions {
  readonly state: ClusterState;
  readonly runtime: Runtime;
  /** Called with changes for the event log. */
  readonly onChange: (change: WaitChange, service: Service) => void;
  /** Called with each report of waiting clients of a service. */
  readonly onWaiting: (service: Service) => void;
}

/** Receives the agents' reports of clients that wait for a task. In memory only: agents repeat them to a new leader. */
export class WaitingClientsMonitor {
  readonly #options: WaitingClientsMonitorOptions;
  readonly #tracker = new WaitingClientsTracker();

  constructor(options: WaitingClientsMonitorOptions) {
    this.#options = options;
  }

  /** Records the report of a node's agent. Ignores unknown services. */
  record(nodeId: string, report: WaitingClients): void {
    const { state, onWaiting } = this.#options;
    const services = report.services.filter(
      ({ serviceName }) => state.services.byName(serviceName) !== undefined,
    );
    this.#apply(nodeId, { services });
    for (const { serviceName, waiting } of services) {
      const service = state.services.byName(serviceName);
      if (waiting > 0 && service !== undefined) onWaiting(service);
    }
  }

  /** Called when the session of a node's agent has ended: it does not report which clients wait. */
  forget(nodeId: string): void {
    this.#apply(nodeId, { services: [] });
  }

  #apply(nodeId: string, report: WaitingClients): void {
    const { state, runtime, onChange } = this.#options;
    for (const change of this.#tracker.record(nodeId, report, runtime.clock.nowMs())) {
      const service = state.services.byName(change.serviceName);
      if (service !== undefined) onChange(change, service);
    }
  }
}
