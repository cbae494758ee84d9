import { pino } from "pino";
import { describe, expect, it, vi } from "vitest";
import { loadTcpBinding, type TcpBinding } from "../../runtime/tcp-binding.js";
import { createNetTransport } from "./net-transport.js";
import { createRawTransport } from "./raw-transport.js";
import { openTransport, testTransport } from "./open-transport.js";

function realBinding(): TcpBinding {
  const binding = loadTcpBinding();
  if (binding === undefined) throw new Error("this Node has no TCP binding");
  return binding;
}

async function open(binding: TcpBinding | undefined): Promise<{ readonly name: string; readonly reason: string }> {
  const log = pino({ level: "silent" });
  const warn = vi.spyOn(log, "warn");
  const { name } = await openTransport(log, binding);
  const reason = warn.mock.calls.map(([fields]) => JSON.stringify(fields)).join();
  return { name, reason };
}

describe("openTransport", () => {
  it("selects the raw transport when it passes the test over loopback", async () => {
    expect(await open(realBinding())).toEqual({ name: "raw", reason: "" });
  });

  it.each([
    ["does not report queued writes", { lastWriteWasQueued: () => false }, "write to a full socket"],
    ["reports no bytes read", { bytesReadOrError: () => 0 }, "write: timed out"],
  ])("falls back to the net transport when the binding %s", async (_what, fault, reason) => {
    const opened = await open({ ...realBinding(), ...fault });
    expect(opened.name).toBe("net");
    expect(opened.reason).toContain(reason);
  });

  it("falls back to the net transport when a method of the handles is missing", async () => {
    const binding = realBinding();
    class WithoutReadStart extends binding.TCP {
      override readStart = undefined as unknown as () => number;
    }
    const opened = await open({ ...binding, TCP: WithoutReadStart });
    expect(opened.name).toBe("net");
    expect(opened.reason).toContain("readStart is not a function");
  });

  it("passes the test with either transport", async () => {
    await testTransport(createRawTransport(realBinding()));
    await testTransport(createNetTransport());
  });
});
