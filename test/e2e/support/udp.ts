import { createSocket } from "node:dgram";
import { setTimeout as delay } from "node:timers/promises";

const ATTEMPTS = 5;
const ANSWER_TIMEOUT_MS = 1_000;

/** Sends a datagram and returns the reply. Repeats it when no reply arrives, because datagrams may get lost. */
export async function requestUdp(address: string, port: number, text: string): Promise<string> {
  const socket = createSocket("udp4");
  // Ignore the ICMP error of a closed port.
  socket.on("error", () => {});
  try {
    const answer = new Promise<string>((resolve) => {
      socket.once("message", (message) => resolve(message.toString()));
    });
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      socket.send(text, port, address);
      const reply = await Promise.race([answer, delay(ANSWER_TIMEOUT_MS, undefined)]);
      if (reply !== undefined) return reply;
    }
    throw new Error(`no reply from ${address}:${port}/udp`);
  } finally {
    socket.close();
  }
}
