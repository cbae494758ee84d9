import { Health, NetworkRange, PortSpec_Protocol, TaskState, TaskStatus } from "@berth/proto";
import { expect, test } from "vitest";
import { type AddressLeases, checkReportedStatus } from "./reported-status.js";

const LEASES: AddressLeases = {
  leaseIn: (networkId) =>
    networkId === "net1"
      ? NetworkRange.fromPartial({ networkId, nodeId: "n1", range: "10.64.9.0/25", gateway: "10.64.9.1" })
      : undefined,
  staticAddress: (networkId) => (networkId === "net1" ? "10.64.0.7" : undefined),
};
type Parts = Parameters<typeof TaskStatus.fromPartial>[0];
const check = (parts: Parts) =>
  checkReportedStatus(TaskStatus.fromPartial({ state: TaskState.RUNNING, ...parts }), LEASES);
const MAC = "02:42:0a:40:09:02";

test("checkReportedStatus keeps the same status when all addresses and ports are valid", () => {
  const status = TaskStatus.fromPartial({
    addresses: [{ networkId: "net1", address: "10.64.9.2", macAddress: MAC }],
    ports: [
      { protocol: PortSpec_Protocol.TCP, target: 80, hostPort: 32_768 },
      { protocol: PortSpec_Protocol.UNSPECIFIED, target: 53, hostPort: 53 },
    ],
  });
  const checked = checkReportedStatus(status, LEASES);
  expect(checked.status).toBe(status);
  expect(checked.rejected).toEqual([]);
});

test("checkReportedStatus rejects a health that only a newer release knows", () => {
  const { status, rejected } = check({ health: 115 as number as Health });
  expect(status.health).toBe(Health.UNSPECIFIED);
  expect(rejected).toEqual(['"health 115"']);
});

test.each([
  ["10.64.9.2", true],
  ["10.64.9.126", true],
  ["10.64.0.7", true],
  ["10.64.9.1", false],
  ["10.64.9.128", false],
  ["10.64.10.2", false],
  ["127.0.0.1", false],
  ["169.254.1.1", false],
  ["192.0.2.1", false],
  ["", false],
  ["10.64.9.2\n- a second line", false],
])("checkReportedStatus keeps address %j: %j", (address, isKept) => {
  const { status, rejected } = check({ addresses: [{ networkId: "net1", address }] });
  expect(status.addresses.map((each) => each.address)).toEqual(isKept ? [address] : []);
  expect(rejected).toEqual(isKept ? [] : [JSON.stringify(address)]);
});

test("checkReportedStatus rejects networks without a lease and a second address in one network", () => {
  const { status } = check({
    addresses: [
      { networkId: "net2", address: "10.64.9.2" },
      { networkId: "net1", address: "10.64.9.3" },
      { networkId: "net1", address: "10.64.9.4" },
    ],
  });
  expect(status.addresses.map(({ address }) => address)).toEqual(["10.64.9.3"]);
});

test.each(["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00", `${MAC} dev eth0`, "x"])(
  "checkReportedStatus rejects MAC address %j and keeps the address",
  (macAddress) => {
    const { status } = check({ addresses: [{ networkId: "net1", address: "10.64.9.2", macAddress }] });
    expect(status.addresses).toEqual([{ networkId: "net1", address: "10.64.9.2", macAddress: "" }]);
  },
);

test.each([
  { target: 80, hostPort: 0 },
  { target: 80, hostPort: 65_536 },
  { target: 0, hostPort: 80 },
  { target: 80, hostPort: 80, protocol: 9 as PortSpec_Protocol },
])("checkReportedStatus rejects port %j", (port) => {
  expect(check({ ports: [{ protocol: PortSpec_Protocol.TCP, ...port }] }).status.ports).toEqual([]);
});
