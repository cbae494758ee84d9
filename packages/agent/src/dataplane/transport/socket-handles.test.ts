import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import {
  adoptDatagramSocket,
  datagramHandle,
  listeningHandle,
  pauseReceiving,
  resumeReceiving,
} from "./socket-handles.js";

let opened: { close(): unknown }[] = [];
afterEach(() => {
  for (const each of opened) each.close();
  opened = [];
});

async function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  opened.push(socket);
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

describe("socket handles", () => {
  it("finds the handles inside sockets of this Node version", async () => {
    expect(datagramHandle(await bound())).toBeDefined();
    const server = createServer().listen(0, "127.0.0.1");
    opened.push(server);
    await once(server, "listening");
    expect(listeningHandle(server)).toBeDefined();
  });

  it("keeps datagrams in the kernel while a paused socket still sends", async () => {
    const [one, other] = [await bound(), await bound()];
    const heard: string[] = [];
    one.on("message", (bytes) => heard.push(String(bytes)));
    expect(pauseReceiving(one)).toBe(true);
    other.send("waits", one.address().port, "127.0.0.1");
    const answer = once(other, "message");
    one.send("leaves", other.address().port, "127.0.0.1");
    expect(String((await answer)[0])).toBe("leaves");
    await sleep(20);
    expect(heard).toEqual([]);
    resumeReceiving(one);
    await expect.poll(() => heard).toEqual(["waits"]);
  });

  it.each([undefined, null, 7, {}, { recvStart: true }])(
    "rejects a value that is no handle: %j",
    (handle) => {
      expect(adoptDatagramSocket(handle, { isConnected: false })).toBeUndefined();
    },
  );
});
