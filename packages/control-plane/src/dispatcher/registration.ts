import { BerthError, type Hello, PROTOCOL_VERSION, type SessionRequest } from "@berth/proto";
import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";

/** An agent says hello as soon as it is connected; who does not is no agent. */
const TIMEOUT_MS = 5_000;

/** Becomes part of keys, of placement constraints and of what people type. */
const NODE_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** The first message of a session, if it is one that can be worked with. @throws BerthError BERTH_PROTOCOL */
export async function readHello(
  incoming: AsyncIterator<SessionRequest>,
  clock: Clock,
  signal: AbortSignal,
): Promise<Hello> {
  const first = await firstMessage(incoming, clock, signal);
  if (first?.message?.$case !== "hello")
    throw protocolError("the first message of a session must be a hello");
  const hello = first.message.value;
  if (hello.protocolVersion !== PROTOCOL_VERSION) {
    throw protocolError(
      `the agent speaks protocol version ${hello.protocolVersion}, this server ${PROTOCOL_VERSION}: upgrade the older of the two`,
    );
  }
  if (!NODE_ID.test(hello.nodeId)) throw protocolError(`${JSON.stringify(hello.nodeId)} is no node id`);
  return hello;
}

export function protocolError(message: string): BerthError {
  return new BerthError({ code: "BERTH_PROTOCOL", message: `${message}.` });
}

function firstMessage(
  incoming: AsyncIterator<SessionRequest>,
  clock: Clock,
  signal: AbortSignal,
): Promise<SessionRequest | undefined> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(TIMEOUT_MS, () => reject(protocolError("the agent sent no hello in time")));
    const forget = onAbort(signal, () => reject(signal.reason));
    incoming
      .next()
      .then((result) => resolve(result.done ? undefined : result.value), reject)
      .finally(() => {
        cancel();
        forget();
      });
  });
}
