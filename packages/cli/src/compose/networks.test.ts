import { EndpointMode, NetworkMode } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { loadText } from "../testing/load-text.js";

/** Loads a file and returns the network attachments by service. */
function joined(text: string) {
  const { specs, networks, messages } = loadText(text);
  return {
    messages,
    networks,
    services: Object.fromEntries(specs.map(({ name, task }) => [name, task?.networks ?? []])),
  };
}

const names = (attachments: readonly { readonly network: string }[] | undefined): readonly string[] =>
  (attachments ?? []).map(({ network }) => network);

describe("networks of a Compose file", () => {
  test("a service without networks joins the default network as an optional one", () => {
    const { networks, services, messages } = joined("services: { web: { image: a } }");
    expect(messages).toEqual([]);
    expect(networks).toMatchObject([{ name: "t_default", stack: "t" }]);
    expect(services.t_web).toMatchObject([{ network: "t_default", aliases: [], optional: true }]);
  });

  test("networks that a service lists are required", () => {
    const { networks, services, messages } = joined(`services:
  web: { image: a, networks: [front, default] }
  db:
    image: b
    networks:
      back: { aliases: [database, db.example.com], ipv4_address: 172.20.0.5 }
networks:
  front:
  back: { driver: bridge, internal: true, ipam: { config: [{ subnet: 172.20.0.0/24 }] } }
  unused:
`);
    expect(messages).toEqual([]);
    expect(names(services.t_web)).toEqual(["t_front", "t_default"]);
    expect(services.t_web?.every(({ optional }) => optional)).toBe(false);
    expect(services.t_db).toMatchObject([
      {
        network: "t_back",
        aliases: ["database", "db.example.com"],
        ipv4Address: "172.20.0.5",
        optional: false,
      },
    ]);
    expect(networks.map(({ name, internal, subnet }) => [name, internal, subnet])).toEqual([
      ["t_front", false, ""],
      ["t_back", true, "172.20.0.0/24"],
      ["t_default", false, ""],
    ]);
  });

  test("internal networks come last; the others are sorted by priority", () => {
    const { services } = joined(`services:
  web:
    image: a
    networks:
      inner: { priority: 1000 }
      one: {}
      two: { priority: 5 }
      three: { gw_priority: 1 }
networks: { inner: { internal: true }, one: , two: , three: }
`);
    expect(names(services.t_web)).toEqual(["t_three", "t_two", "t_one", "t_inner"]);
  });

  test("the default network can be configured", () => {
    const encrypted = joined(`services: { web: { image: a } }
networks: { default: { name: mesh, driver: overlay, driver_opts: { encrypted: "" }, labels: [a=b] } }
`);
    expect(encrypted.messages).toEqual([]);
    expect(encrypted.networks).toMatchObject([{ name: "mesh", encrypted: true, labels: { a: "b" } }]);
    expect(encrypted.services.t_web).toMatchObject([{ network: "mesh", optional: false }]);
    const external = joined(`services: { web: { image: a } }
networks: { default: { external: { name: proxy } } }
`);
    expect(external.networks).toEqual([]);
    expect(external.services.t_web).toMatchObject([{ network: "proxy", optional: false }]);
  });

  test("options of Docker's bridge driver are applied, or ignored with a warning", () => {
    const { messages, networks } = joined(`services: { web: { image: a } }
networks:
  default:
    attachable: true
    enable_ipv6: true
    driver_opts: { com.docker.network.driver.mtu: "1400", com.docker.network.bridge.name: br0 }
    ipam:
      driver: default
      config:
        - { subnet: 10.9.0.1/16, gateway: 10.9.0.1, ip_range: 10.9.1.0/24 }
        - { subnet: "fd00::/64" }
`);
    expect(networks).toMatchObject([{ attachable: true, mtu: 1_400, subnet: "10.9.0.0/16" }]);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:5:5: warning: networks.default.enable_ipv6: IPv6 stays disabled: networks that span hosts support IPv4 only, so containers have no IPv6 addresses in them; published ports accept IPv6 clients",
        "c.yaml:6:59: warning: networks.default.driver_opts.com.docker.network.bridge.name: ignored: berth names the bridge of each network itself: bth and a number",
        "c.yaml:10:34: warning: networks.default.ipam.config[0].gateway: ignored: berth assigns a gateway and a range of the subnet to each host",
        "c.yaml:10:53: warning: networks.default.ipam.config[0].ip_range: ignored: berth assigns a gateway and a range of the subnet to each host",
        "c.yaml:11:13: warning: networks.default.ipam.config[1].subnet: ignored: networks that span hosts support IPv4 only, so containers have no IPv6 addresses in them; published ports accept IPv6 clients",
      ]
    `);
  });

  test("invalid networks are errors with their places", () => {
    const { messages } = joined(`services:
  web: { image: a, networks: [frnt] }
  one: { image: a, networks: { front: { ipv4_address: 10.0.0.5 } } }
  two: { image: a, networks: { back: { ipv4_address: 10.0.0.5, aliasses: [x] } } }
  three: { image: a, network_mode: host, networks: [front] }
  four: { image: a, networks: { back: { ipv4_address: 172.20.0.9 } }, deploy: { replicas: 2 } }
  five: { image: a, links: [nosuch] }
networks:
  front: { driver: macvlan }
  back: { ipam: { config: [{ subnet: 172.20.0.0/24 }] } }
  tiny: { ipam: { config: [{ subnet: 172.21.0.0/29 }] } }
`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:2:31: services.web.networks.frnt: undefined network "frnt"; did you mean "front"?",
        "c.yaml:3:55: services.one.networks.front.ipv4_address: the network front has no subnet; set one under its ipam",
        "c.yaml:4:54: services.two.networks.back.ipv4_address: 10.0.0.5 is not in 172.20.0.0/24, the subnet of back",
        "c.yaml:4:64: services.two.networks.back.aliasses: unknown key "aliasses"; did you mean "aliases"?",
        "c.yaml:5:42: services.three.networks: network_mode and networks are mutually exclusive",
        "c.yaml:6:33: services.four.networks.back: only a service with one replica can have a static address",
        "c.yaml:7:29: services.five: undefined service "nosuch"",
        "c.yaml:9:20: networks.front.driver: the network driver macvlan is not supported; use overlay or bridge, which have the same effect",
        "c.yaml:11:38: networks.tiny.ipam.config[0].subnet: the prefix length /29 is out of range (/8 to /26), since each host gets a range of the subnet",
      ]
    `);
  });

  test("the networks host, none and bridge set the network mode", () => {
    const { specs, networks, messages } = loadText(`services:
  a: { image: a, network_mode: host }
  b: { image: a, network_mode: none }
  c: { image: a, network_mode: bridge }
  d: { image: a, networks: [hostnet] }
networks: { hostnet: { external: true, name: host } }
`);
    expect(messages).toEqual([]);
    expect(networks).toEqual([]);
    expect(specs.map(({ task }) => [task?.container?.networkMode, task?.networks])).toEqual([
      [NetworkMode.HOST, []],
      [NetworkMode.NONE, []],
      [NetworkMode.BRIDGE, []],
      [NetworkMode.HOST, []],
    ]);
  });

  test("container names, hostnames and links become aliases", () => {
    const { services, messages } = joined(`services:
  web: { image: a, container_name: site, hostname: www, networks: [front, back], links: ["db:sql", db] }
  db: { image: b, hostname: web, networks: [back, other] }
  job: { image: c, hostname: "{{.Node.Hostname}}" }
networks: { front: , back: , other: }
`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:2:20: warning: services.web.container_name: containers are named after their service and slot: the name is used as a network alias instead",
      ]
    `);
    expect(services.t_web?.map(({ aliases }) => aliases)).toEqual([
      ["site", "www"],
      ["site", "www"],
    ]);
    expect(services.t_db?.map(({ network, aliases }) => [network, aliases])).toEqual([
      ["t_back", ["sql"]],
      ["t_other", []],
    ]);
    expect(services.t_job?.[0]?.aliases).toEqual([]);
  });

  test("external links are names that only the containers of the service know", () => {
    const { specs, messages } = loadText(`services:
  web: { image: a, external_links: [cache, "shop-db-1:db", "a:b:c", ":x", "a b"] }
`);
    expect(specs[0]?.task?.container?.links).toMatchObject({ cache: "cache", db: "shop-db-1" });
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:2:36: services.web.external_links: "a b" is not a valid hostname",
        "c.yaml:2:60: services.web.external_links[2]: "a:b:c" is not CONTAINER or CONTAINER:ALIAS",
        "c.yaml:2:69: services.web.external_links[3]: ":x" is not CONTAINER or CONTAINER:ALIAS",
      ]
    `);
  });

  test("a link starts the linked service first", () => {
    const { specs } = loadText(`services:
  web: { image: a, links: [db], depends_on: { db: { condition: service_healthy } } }
  api: { image: a, links: [db] }
  db: { image: b }
`);
    expect(
      specs.map(({ dependsOn }) => dependsOn.map(({ service, condition }) => [service, condition])),
    ).toEqual([[["t_db", 2]], [["t_db", 1]], []]);
  });

  test("endpoint_mode selects a virtual IP or DNS round robin", () => {
    const { specs, messages } = loadText(`services:
  a: { image: a, deploy: { endpoint_mode: dnsrr } }
  b: { image: a, deploy: { endpoint_mode: vip } }
  c: { image: a, deploy: { endpoint_mode: lb } }
`);
    expect(messages).toEqual([
      'c.yaml:4:43: services.c.deploy.endpoint_mode: "lb" is invalid; use vip, dnsrr',
    ]);
    const { DNSRR, VIP } = EndpointMode;
    expect(specs.map(({ endpointMode }) => endpointMode)).toEqual([DNSRR, VIP, VIP]);
  });

  test("networks are merged from several files", () => {
    const base =
      "services: { web: { image: a, networks: [x] } }\nnetworks: { x: { driver_opts: { encrypted: 'true' } } }";
    const { networks, specs } = loadText(base, {
      overrides: [
        "services: { web: { networks: { x: { aliases: [w] } } } }\nnetworks: { x: { internal: true } }",
      ],
    });
    expect(networks).toMatchObject([{ name: "t_x", encrypted: true, internal: true }]);
    expect(specs[0]?.task?.networks).toMatchObject([{ network: "t_x", aliases: ["w"] }]);
  });

  test("options of Docker's bridge driver with the value that holds anyway are accepted silently", () => {
    const options = `com.docker.network.enable_ipv6: "false", com.docker.network.bridge.enable_icc: "true"`;
    const { messages } = loadText(
      `services: { a: { image: a } }\nnetworks: { default: { driver_opts: { ${options} } } }\n`,
    );
    expect(messages).toEqual([]);
  });

  test("a service with one replica can have MAC and link-local addresses and name its interface", () => {
    const file = (replicas: number): string => `services:
  a:
    image: a
    mac_address: 02-42-AC-11-65-43
    networks:
      front: { link_local_ips: [169.254.8.8], interface_name: eth7 }
      back: { mac_address: "02:42:ac:11:65:44" }
    deploy: { replicas: ${replicas} }
networks: { front: , back: { internal: true } }
`;
    const { specs, messages } = loadText(file(1));
    expect(messages).toEqual([]);
    expect(specs[0]?.task?.networks).toMatchObject([
      {
        network: "t_front",
        macAddress: "02:42:ac:11:65:43",
        linkLocalIps: ["169.254.8.8"],
        interfaceName: "eth7",
      },
      { network: "t_back", macAddress: "02:42:ac:11:65:44" },
    ]);
    expect(loadText(file(2)).messages).toMatchInlineSnapshot(`
      [
        "c.yaml:6:7: services.a.networks.front: only a service with one replica can have a MAC address",
        "c.yaml:7:7: services.a.networks.back: only a service with one replica can have a MAC address",
      ]
    `);
  });
});
