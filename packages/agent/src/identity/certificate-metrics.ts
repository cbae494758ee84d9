import { Gauge, Registry } from "prom-client";
import { currentFacts, type HostIdentity } from "./host-identity.js";

/** Returns the expiry time of this host's certificate in Prometheus text format. */
export function certificateMetrics(identity: Pick<HostIdentity, "rpc">): Promise<string> {
  const registry = new Registry();
  const expiry = new Gauge({
    name: "berth_agent_certificate_expiry_timestamp_seconds",
    help: "When the certificate of this host expires",
    registers: [registry],
  });
  expiry.set(currentFacts(identity).notAfterMs / 1_000);
  return registry.metrics();
}
