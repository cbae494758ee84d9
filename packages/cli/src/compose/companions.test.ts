import type { ServiceSpec } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { loadText } from "../testing/load-text.js";

const replicasOf = ({ mode }: ServiceSpec): number | undefined =>
  mode?.$case === "replicated" ? mode.value.replicas : undefined;

describe("services that share namespaces and mounts of others", () => {
  test("companions share the network and mounts of the tasks of another service, and join no network of their own", () => {
    const { specs, messages } = loadText(`services:
  vpn: { image: vpn, ipc: shareable, ports: ["80:80"] }
  app:
    image: app
    network_mode: service:vpn
    pid: service:vpn
    ipc: service:vpn
    volumes_from: ["vpn", "vpn:ro"]
`);
    expect(messages).toEqual([]);
    expect(specs[1]?.task).toMatchObject({
      networks: [],
      container: {
        pidMode: "",
        ipcMode: "",
        sharing: {
          network: "t_vpn",
          pid: "t_vpn",
          ipc: "t_vpn",
          mounts: [
            { service: "t_vpn", readOnly: false },
            { service: "t_vpn", readOnly: true },
          ],
        },
      },
    });
    expect(specs[1]?.dependsOn.map(({ service }) => service)).toEqual(["t_vpn"]);
  });

  test("companions have the mode and replicas of their owner, unless the file sets them", () => {
    const { specs, messages } = loadText(`services:
  web: { image: a, deploy: { replicas: 3 } }
  log: { image: b, network_mode: "service:web" }
  sidecar: { image: c, pid: "service:log" }
  every: { image: d, deploy: { mode: global } }
  beside: { image: e, volumes_from: [every] }
  three: { image: f, volumes_from: [web], scale: 2 }
`);
    expect(specs.map(replicasOf)).toEqual([3, 3, 3, undefined, undefined, 2]);
    expect(specs[4]?.mode?.$case).toBe("global");
    expect(messages).toEqual([
      "c.yaml:7:37: services.three.volumes_from[0]: the service has 2 replicas, but service web has 3: each task runs beside one of them",
    ]);
  });

  test("companions bring their owners to one node", () => {
    const { specs, messages } = loadText(`services:
  web: { image: a, volumes_from: [code, assets] }
  code: { image: b }
  assets: { image: c }
  other: { image: d, x-berth: { beside: code } }
`);
    expect(messages).toEqual([]);
    expect(specs.map(({ placement }) => placement?.beside)).toEqual(["", "", "t_code", "t_code"]);
  });

  test("companions can name the container of a service of the file, also in format version 1", () => {
    const { specs, messages } = loadText(`services:
  web: { image: a, container_name: front }
  app: { image: b, network_mode: "container:front", volumes_from: ["container:front:ro"] }
  bad: { image: c, pid: "container:fronts", volumes_from: ["container:mysql", "web:x"] }
`);
    expect(specs[1]?.task?.container?.sharing).toMatchObject({
      network: "t_web",
      mounts: [{ service: "t_web", readOnly: true }],
    });
    expect(messages.slice(1)).toEqual([
      'c.yaml:4:25: services.bad.pid: container "fronts" does not belong to the stack, and exists on one node only; use service:NAME; did you mean "front"?',
      'c.yaml:4:60: services.bad.volumes_from[0]: container "mysql" does not belong to the stack, and exists on one node only; use service:NAME',
      'c.yaml:4:79: services.bad.volumes_from[1]: "web:x" is not SERVICE, SERVICE:ro or SERVICE:rw',
    ]);
    expect(loadText('a: { image: a }\nb: { image: b, net: "container:a" }\n').specs[1]).toMatchObject({
      task: { container: { sharing: { network: "t_a" } } },
    });
  });

  test("companions cannot set what Docker refuses in the network of another container", () => {
    const { messages } = loadText(`services:
  web: { image: a }
  app:
    image: b
    network_mode: service:web
    ports: ["80:80"]
    hostname: app
    dns: 192.0.2.1
    extra_hosts: ["a=192.0.2.1"]
  ipc: { image: c, ipc: "service:web" }
  none: { image: d, pid: "service:missing", x-berth: { beside: wep } }
`);
    const reason = "the container uses the network of service web; set this there instead";
    expect(messages).toEqual([
      `c.yaml:6:13: services.app.ports[0]: ${reason}`,
      `c.yaml:7:15: services.app.hostname: ${reason}`,
      `c.yaml:8:5: services.app.dns: ${reason}`,
      `c.yaml:9:5: services.app.extra_hosts: ${reason}`,
      "c.yaml:10:25: services.ipc.ipc: service web does not share its IPC namespace; set its IPC mode to shareable",
      'c.yaml:11:26: services.none: undefined service "missing"',
      'c.yaml:11:64: services.none.x-berth.beside: undefined service "wep"; did you mean "web"?',
    ]);
  });

  test("companions cannot share with each other in a cycle", () => {
    const { messages } = loadText(`services:
  a: { image: a, network_mode: "service:b" }
  b: { image: b, x-berth: { beside: a } }
`);
    expect(messages).toEqual([
      "c.yaml:3:37: services.b.x-berth.beside: services run beside each other in a cycle: b → a → b",
    ]);
  });
});
