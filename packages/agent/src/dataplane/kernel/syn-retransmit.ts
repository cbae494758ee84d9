import { connect } from "node:net";
import { PROMPTS, TABLE } from "./base-ruleset.js";
import { runNft } from "./nft.js";
import type { Unanswered } from "./unanswered.js";

/** A connection's first packet goes out at once; then it has done all that it is there for. */
const ATTEMPT_MS = 50;

/**
 * Has clients repeat their SYN at once that would do so only when a second is over. Linux (since 5.6) does when it gets
 * an acknowledgement of something that it never sent; whoever does not takes no notice. The kernel makes one of each of
 * our attempts to connect to them: see `skeleton.ts`. What the kernel knew of the connections must be deleted before.
 */
export async function promptClients(clients: readonly Unanswered[], signal: AbortSignal): Promise<void> {
  if (clients.length === 0) return;
  const elements = clients.map(
    ({ client, clientPort, address, port }) => `${client} . ${clientPort} : ${address} . ${port}`,
  );
  const script = `add element ip ${TABLE} ${PROMPTS} { ${elements.join(", ")} }\n`;
  if ((await runNft(script, { signal })) !== undefined) return;
  for (const { client, clientPort } of clients) attempt(client, clientPort);
}

function attempt(host: string, port: number): void {
  const socket = connect({ host, port });
  socket.on("error", () => {});
  setTimeout(() => socket.destroy(), ATTEMPT_MS);
}
