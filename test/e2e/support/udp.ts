import { createSocket } from "node:dgram";
import { setTimeout as delay } from "node:timers/promises";

const ATTEMPTS = 5;
const ANSWER_TIMEOUT_MS = 1_000;

/** Sends a datagram and gives back the answer; again when none comes, for datagrams may be lost. */
export async function requestUdp(address: string, port: number, text: string): Promise<string> {
  const socket = createSocket("udp4");
  // A closed port answers with an ICMP message, which is no answer to us.
  socket.on("error", () => {});
  try {
    const answer = new Promise<string>((resolve) => {
      socket.once("message", (message) => resolve(message.toString()));
    });
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      socket.send(text, port, address);
      const heard = await Promise.race([answer, delay(ANSWER_TIMEOUT_MS, undefined)]);
      if (heard !== undefined) return heard;
    }
    throw new Error(`no answer from ${address}:${port}/udp`);
  } finally {
    socket.close();
  }
}
