import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { handOver } from "./source.js";

it("handOver() resumes the source when the successor reads nothing", async () => {
  // Reports that it is ready, then never reads again.
  const successor = spawn(process.execPath, ["-e", 'process.send({ kind: "ready" }); for (;;);'], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const server = createServer();
  onTestFinished(() => {
    successor.kill("SIGKILL");
    server.close();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const flows = ["a", "b", "c"].map((client) => ({
    record: { listener: "udp/:53", client, endpoint: "e", isAnswered: false, idleMs: 0 },
    handle: server,
  }));
  let resumed = 0;
  const source = {
    state: () => {
      throw new Error("the flows were not read");
    },
    flows: () => flows,
    pause: () => {},
    resume: () => {
      resumed += 1;
    },
  };
  await expect(handOver(successor, source, 1_500)).rejects.toThrow(
    "successor did not take over within 1.5 s",
  );
  expect(resumed).toBe(1);
});
