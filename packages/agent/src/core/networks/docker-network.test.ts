import { expect, it } from "vitest";
import { networkBody } from "./docker-network.js";
import { networkWith } from "./testing.js";

it("networkBody sets all options and labels of the Docker network", () => {
  const network = networkWith({ spec: { internal: true, attachable: true, labels: { team: "a" } } });
  expect(networkBody(network, 1_450)).toEqual({
    Name: "shop_default",
    CheckDuplicate: true,
    Driver: "bridge",
    Internal: true,
    Attachable: true,
    EnableIPv6: false,
    IPAM: {
      Driver: "default",
      Config: [
        {
          Subnet: "10.64.0.0/18",
          IPRange: "10.64.1.0/25",
          Gateway: "10.64.1.1",
          AuxiliaryAddresses: { "berth-reserved": "10.64.1.0" },
        },
      ],
    },
    Options: {
      "com.docker.network.bridge.name": "bth4097",
      "com.docker.network.driver.mtu": "1450",
    },
    Labels: {
      team: "a",
      "berth.network.id": "net1",
      "berth.network.config": "10.64.0.0/18 10.64.1.0/25 10.64.1.1 4097 internal attachable",
      "berth.network.mtu": "1450",
      "berth.stack": "shop",
      "com.docker.stack.namespace": "shop",
    },
  });
});

it("networkBody does not reserve the gateway's address", () => {
  const [config] = networkBody(networkWith({ gateway: "10.64.1.0" }), 1_450).IPAM.Config;
  expect(config?.AuxiliaryAddresses).toEqual({});
});
