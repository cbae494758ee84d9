import { DEFAULT_POLICY, Policy } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { HostPolicy } from "./host-policy.js";

const log = pino({ level: "silent" });
const strict = Policy.fromPartial({ rules: [{ name: "apps", stacks: ["*"], privileged: false }] });

test("a host keeps the last valid policy, over a restart and after an invalid one", () => {
  const host = new HostPolicy({ saved: DEFAULT_POLICY, log });
  host.update(strict);
  host.update(Policy.fromPartial({ rules: [{ name: "without stacks" }] }));
  expect(host.policy).toEqual(strict);
  expect(new HostPolicy({ saved: host.policy, log }).view.policy).toEqual(strict);
  host.update(DEFAULT_POLICY);
  expect(host.policy).toEqual(DEFAULT_POLICY);
});
