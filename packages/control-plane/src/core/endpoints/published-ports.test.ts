import { type PortSpec, PortSpec_Mode, PortSpec_Protocol } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildSpec } from "../testing/records.js";
import {
  type ClaimLookup,
  FIRST_PICKED_PORT,
  LAST_PICKED_PORT,
  pickPorts,
  portConflicts,
} from "./published-ports.js";

const { INGRESS, HOST } = PortSpec_Mode;
const { TCP, UDP } = PortSpec_Protocol;

const port = (over: Partial<PortSpec> = {}): PortSpec => ({
  target: 80,
  published: 8080,
  protocol: TCP,
  mode: INGRESS,
  hostIp: "",
  ...over,
});

const claimed =
  (...ports: readonly PortSpec[]): ClaimLookup =>
  (protocol, published) =>
    ports
      .filter((one) => one.protocol === protocol && one.published === published)
      .map((one) => ({ serviceId: "other", serviceName: "shop_api", port: one }));

const conflicts = (mine: PortSpec, theirs: PortSpec, serviceId = "mine"): readonly unknown[] =>
  portConflicts(buildSpec({ ports: [mine] }), { serviceId, claimsOn: claimed(theirs) });

describe("portConflicts", () => {
  it("names the service that has the port", () => {
    expect(conflicts(port(), port())).toEqual([
      { path: "ports[0]", message: "port 8080/tcp is published by service shop_api" },
    ]);
  });

  it.each<[string, Partial<PortSpec>, Partial<PortSpec>, number]>([
    ["another protocol", {}, { protocol: UDP }, 0],
    ["another address", { hostIp: "192.0.2.1" }, { hostIp: "192.0.2.2" }, 0],
    ["one of them on all addresses", { hostIp: "192.0.2.1" }, { hostIp: "0.0.0.0" }, 1],
    ["host mode beside ingress", { mode: HOST }, {}, 1],
    ["host mode on both sides", { mode: HOST }, { mode: HOST }, 0],
    ["a port that is yet to be picked", { published: 0 }, { published: 0 }, 0],
  ])("decides about %s", (_name, mine, theirs, count) => {
    expect(conflicts(port(mine), port(theirs))).toHaveLength(count);
  });

  it("lets a service keep its own port", () => {
    expect(conflicts(port(), port(), "other")).toEqual([]);
  });
});

describe("pickPorts", () => {
  const open = buildSpec({ ports: [port({ published: 0 }), port({ published: 0, target: 81 })] });
  const numbers = (result: ReturnType<typeof pickPorts>): readonly number[] =>
    result.kind === "picked" ? result.spec.ports.map(({ published }) => published) : [];

  it("picks the first free ports, each once", () => {
    const claimsOn = claimed(port({ published: FIRST_PICKED_PORT }));
    expect(numbers(pickPorts(open, { previous: undefined, claimsOn }))).toEqual([
      FIRST_PICKED_PORT + 1,
      FIRST_PICKED_PORT + 2,
    ]);
  });

  it("keeps what was picked before, though the service itself claims it", () => {
    const previous = buildSpec({
      ports: [port({ published: 30_500 }), port({ published: 30_600, target: 81 })],
    });
    const claimsOn = claimed(...previous.ports);
    expect(numbers(pickPorts(open, { previous, claimsOn }))).toEqual([30_500, 30_600]);
  });

  it("leaves named ports and host-mode ports alone", () => {
    const spec = buildSpec({
      ports: [port({ published: 30_000 }), port({ published: 0, mode: HOST }), port({ published: 0 })],
    });
    expect(numbers(pickPorts(spec, { previous: undefined, claimsOn: claimed() }))).toEqual([
      30_000, 0, 30_001,
    ]);
  });

  it("says so when none is left", () => {
    const all = Array.from({ length: LAST_PICKED_PORT - FIRST_PICKED_PORT + 1 }, (_, index) =>
      port({ published: FIRST_PICKED_PORT + index }),
    );
    expect(pickPorts(open, { previous: undefined, claimsOn: claimed(...all) }).kind).toBe("exhausted");
  });
});
