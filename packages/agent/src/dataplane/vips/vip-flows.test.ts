import { expect, it } from "vitest";
import type { Vip, Vips } from "./vip.js";
import { forgetting, goneFlows } from "./vip-flows.js";

const vip = (tasks: readonly string[], draining: readonly string[] = []) => ({
  address: "10.64.0.2",
  bridge: "bth4097",
  tasks,
  draining,
  hasSourceAffinity: false,
});
const flows = (task: string, isUdpOnly: boolean) => ({ vip: "10.64.0.2", task, isUdpOnly });

it("goneFlows forgets what went to a task that is gone, and only datagrams to one that drains", () => {
  const table = (...vips: readonly Vip[]): Vips => new Map(vips.map((each) => [each.address, each]));
  const before = table(vip(["10.64.1.2", "10.64.2.2", "10.64.3.2"]));
  expect(goneFlows(before, table(vip(["10.64.1.2"], ["10.64.2.2"])))).toEqual([
    flows("10.64.2.2", true),
    flows("10.64.3.2", false),
  ]);
  expect(goneFlows(table(vip([], ["10.64.2.2"])), table())).toEqual([flows("10.64.2.2", false)]);
  expect(goneFlows(before, before)).toEqual([]);
});

it("forgetting names the virtual IP and the task, and nothing else", () => {
  const words = (isUdpOnly: boolean) => forgetting(flows("10.64.2.2", isUdpOnly)).join(" ");
  expect(words(false)).toBe("-D -f ipv4 --orig-dst 10.64.0.2 --reply-src 10.64.2.2");
  expect(words(true)).toBe("-D -f ipv4 -p udp --orig-dst 10.64.0.2 --reply-src 10.64.2.2");
});
