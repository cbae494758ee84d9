import { expect, test } from "vitest";
import type { ProgramResult } from "../../runtime/run-program.js";
import { OriginalPorts, parseOriginalPorts } from "./original-ports.js";

const LINE =
  "tcp      6 86399 ESTABLISHED src=10.64.1.9 dst=10.64.0.2 sport=40000 dport=80 src=10.64.0.2 dst=10.64.1.9 sport=35353 dport=40000 [ASSURED] mark=20971520 use=1";
const CLIENT = { address: "10.64.1.9", port: 40_000, vip: "10.64.0.2" };

test("parseOriginalPorts() returns the port of each connection as its client sees it", () => {
  const text = `${LINE}\nconntrack v1.4.7: 1 flow entries have been shown.\n`;
  expect([...parseOriginalPorts(text)]).toEqual([["10.64.1.9 40000 10.64.0.2", 80]]);
});

test("find() lists the connections once for all clients that wait", async () => {
  let runs = 0;
  const answers: ((result: ProgramResult) => void)[] = [];
  const ports = new OriginalPorts(new AbortController().signal, () => {
    runs += 1;
    return new Promise((resolve) => answers.push(resolve));
  });
  const first = ports.find(CLIENT);
  const others = [ports.find(CLIENT), ports.find({ ...CLIENT, port: 40_001 })];
  answers[0]?.({ kind: "done", stdout: LINE });
  expect(await first).toBe(80);
  await Promise.resolve();
  answers[1]?.({ kind: "done", stdout: LINE });
  expect(await Promise.all(others)).toEqual([80, undefined]);
  expect(runs).toBe(2);
});

test("find() returns undefined when conntrack fails", async () => {
  const ports = new OriginalPorts(new AbortController().signal, () => Promise.reject(new Error("killed")));
  expect(await ports.find(CLIENT)).toBeUndefined();
});
