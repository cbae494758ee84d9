import type { Logger } from "pino";
import { loadTcpBinding } from "../../runtime/tcp-binding.js";
import { createNetTransport } from "./net-transport.js";
import { createRawTransport } from "./raw-transport.js";
import { testTransport } from "./self-test.js";
import type { Transport } from "./transport.js";

/**
 * Opens the transport of the ingress process: the raw transport when it passes a test over loopback, and the net
 * transport otherwise. The raw transport relies on an undocumented interface of Node, so each start of the process
 * verifies that it works.
 */
export async function openTransport(log: Logger, binding = loadTcpBinding()): Promise<Transport> {
  try {
    if (binding === undefined) throw new Error(`Node ${process.version} has no compatible TCP binding`);
    const transport = createRawTransport(binding);
    await testTransport(transport);
    return transport;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.warn({ reason }, "TCP binding is not usable; falling back to node:net");
    return createNetTransport();
  }
}
