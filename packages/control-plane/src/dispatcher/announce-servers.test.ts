import { expect, test } from "vitest";
import { Emitter } from "../runtime/emitter.js";
import { announceServers } from "./announce-servers.js";
import type { AgentCommand } from "./session.js";

test("announceServers sends the addresses when they change, until the term ends", () => {
  let addresses = ["a:1"];
  const changed = new Emitter();
  const sent: AgentCommand[] = [];
  const term = new AbortController();
  announceServers(
    {
      servers: () => addresses,
      onChange: (listener) => changed.on(listener),
      sessions: { broadcast: (command) => void sent.push(command) },
    },
    term.signal,
  );
  // A server has registered a new certificate.
  changed.emit();
  expect(sent).toEqual([]);
  addresses = ["a:1", "b:1"];
  changed.emit();
  changed.emit();
  expect(sent).toEqual([{ $case: "servers", value: { addresses: ["a:1", "b:1"] } }]);
  term.abort();
  addresses = ["a:1"];
  changed.emit();
  expect(sent).toHaveLength(1);
  expect(changed.hasListeners).toBe(false);
});
