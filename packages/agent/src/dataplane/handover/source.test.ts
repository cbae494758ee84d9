import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { handOver } from "./source.js";

it("giveTo lets go of an heir that takes nothing, and serves on", async () => {
  // Ready, and from then on busy for ever.
  const heir = spawn(process.execPath, ["-e", 'process.send({ kind: "ready" }); for (;;);'], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const server = createServer();
  onTestFinished(() => {
    heir.kill("SIGKILL");
    server.close();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const flows = ["a", "b", "c"].map((client) => ({
    record: { listener: "udp/:53", client, endpoint: "e", isAnswered: false, idleMs: 0 },
    handle: server,
  }));
  let resumed = 0;
  const giver = {
    estate: () => {
      throw new Error("it has not taken the flows yet");
    },
    flows: () => flows,
    pause: () => {},
    resume: () => {
      resumed += 1;
    },
  };
  await expect(handOver(heir, giver, 1_500)).rejects.toThrow("it took too long");
  expect(resumed).toBe(1);
});
