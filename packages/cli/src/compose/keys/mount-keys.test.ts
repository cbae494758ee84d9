import { describe, expect, test } from "vitest";
import { loadService, loadText } from "../../testing/load-text.js";

const mountsOf = (text: string) => {
  const { specs, messages } = loadService(text);
  expect(messages).toEqual([]);
  return specs[0]?.task?.container?.mounts;
};

describe("mounts", () => {
  test("reads all options of a tmpfs, in the short and the long form", () => {
    const mounts = mountsOf(`tmpfs:
  - /run
  - /tmp:size=64m,mode=1777,uid=1000,gid=1000,exec,noatime,ro
  - /half:size=50%
volumes:
  - { type: tmpfs, target: /cache, read_only: true, tmpfs: { size: 1k, mode: 0700 } }`);
    const tmpfs = { sizeBytes: 0, mode: 0, options: [] as string[] };
    expect(mounts).toMatchObject([
      { target: "/cache", readOnly: true, kind: { value: { ...tmpfs, sizeBytes: 1_024, mode: 0o700 } } },
      { target: "/run", readOnly: false, kind: { value: tmpfs } },
      {
        target: "/tmp",
        readOnly: true,
        kind: {
          value: {
            sizeBytes: 64 * 1_024 ** 2,
            mode: 0o1777,
            options: ["uid=1000", "gid=1000", "exec", "noatime"],
          },
        },
      },
      { target: "/half", kind: { value: { sizeBytes: 0, options: ["size=50%"] } } },
    ]);
  });

  test("reads subpaths, images, recursive mounts, and labels of volumes", () => {
    const { specs, messages } = loadText(`services:
  s:
    image: a
    volume_driver: nfs
    volumes:
      - { type: volume, source: data, target: /data, volume: { subpath: a/b, labels: { x: "1" } } }
      - { type: image, source: "nginx:1", target: /html, image: { subpath: usr } }
      - { type: bind, source: /srv, target: /srv, bind: { recursive: disabled } }
      - { type: bind, source: /opt, target: /opt, bind: { recursive: enabled } }
      - /anonymous
volumes: { data: { driver: local } }
`);
    expect(messages).toEqual([]);
    expect(specs[0]?.task?.container?.mounts).toMatchObject([
      { kind: { $case: "volume", value: { driver: "local", subpath: "a/b", labels: { x: "1" } } } },
      { kind: { $case: "image", value: { image: "nginx:1", subpath: "usr" } } },
      { kind: { $case: "bind", value: { recursive: "disabled" } } },
      { kind: { $case: "bind", value: { recursive: "" } } },
      { kind: { $case: "volume", value: { name: "", driver: "nfs" } } },
    ]);
  });

  test("mounts the directory of the file when the source of a bind mount is empty, as Compose does", () => {
    const { specs, messages } = loadService('volumes: [{ type: bind, source: "", target: /a }]');
    expect(specs[0]?.task?.container?.mounts[0]?.kind).toMatchObject({ value: { source: "/project" } });
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:4:15: warning: services.s.volumes[0]: the empty source resolves to /project, which must exist on every node that runs the service; to send it to them, add x-berth: { ship: true } to the service",
      ]
    `);
  });

  test("ships relative bind mounts of a service that says so, and leaves paths of nodes alone", () => {
    const { specs, shipments, messages } = loadService(`volumes:
  - ./conf:/etc/app:ro,z
  - /var/run/docker.sock:/var/run/docker.sock
  - { type: bind, source: ../web.conf, target: /etc/web.conf, bind: { propagation: rslave } }
x-berth: { ship: true }`);
    const digest = `sha256:${"0".repeat(64)}`;
    expect(specs[0]?.task?.container?.mounts).toMatchObject([
      {
        kind: { $case: "shipped", value: { digest, source: "./conf", selinux: "z" } },
        target: "/etc/app",
        readOnly: true,
      },
      { kind: { $case: "bind", value: { source: "/var/run/docker.sock" } } },
      { kind: { $case: "shipped", value: { source: "../web.conf" } }, readOnly: false },
    ]);
    expect(shipments).toEqual([
      { service: "t_s", mountIndex: 0, path: "/project/conf" },
      { service: "t_s", mountIndex: 2, path: "/web.conf" },
    ]);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:7:9: warning: services.s.volumes[2]: ignored: propagation and recursive of a mount that is sent to nodes",
      ]
    `);
  });

  test("reports invalid mounts at their places", () => {
    const { messages } = loadService(`tmpfs: ["/a:foo=1", "/b:mode=99", "/c:size=lots", "/d:uid=1;x"]
volumes:
  - { type: image, source: "", target: /e }
  - { type: image, source: a, target: /f, image: { subpath: ../x } }
  - { type: volume, target: /g, volume: { subpath: x } }
  - { type: cluster, source: c, target: /h }
  - { type: npipe, source: c, target: /i }`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:4:13: services.s.tmpfs[0]: "foo=1" is not an option of tmpfs; use uid, gid, size, mode, nr_inodes, exec, suid, dev and their opposites",
        "c.yaml:4:25: services.s.tmpfs[1]: "99" is not an octal number such as 1777",
        "c.yaml:4:39: services.s.tmpfs[2]: "lots" is not a size; use a form such as 64M or 1.5G, or a number of bytes",
        "c.yaml:4:55: services.s.tmpfs[3]: "uid=1;x" is not an option of tmpfs; use uid, gid, size, mode, nr_inodes, exec, suid, dev and their opposites",
        "c.yaml:6:9: services.s.volumes[0]: no image is specified",
        "c.yaml:7:9: services.s.volumes[1]: "../x" is not a path inside the mount; use a relative path without ..",
        "c.yaml:8:9: services.s.volumes[2]: an anonymous volume is empty; name the volume",
        "c.yaml:9:17: services.s.volumes[3].type: cluster volumes need the CSI plugins of Docker Swarm; use a volume whose driver stores it outside of the node, such as NFS",
        "c.yaml:10:17: services.s.volumes[4].type: named pipes exist on Windows only, and berth runs Linux containers",
      ]
    `);
  });
});

describe("placeholders", () => {
  test("volumes, hostnames and variables can have placeholders and labels of the service", () => {
    const { specs, messages } = loadText(`services:
  s:
    image: a
    hostname: '{{ index .Service.Labels "zone" }}-{{.Task.Slot}}'
    environment: { NODE: "{{.Node.Hostname}}", OTHER: "{{.Message}}" }
    volumes: ["data:/data", "/srv/{{.Task.Slot}}:/srv"]
    deploy: { labels: { zone: eu } }
volumes:
  data: { name: '{{index .Service.Labels "com.docker.stack.namespace"}}_data_{{.Task.Slot}}' }
`);
    expect(messages).toEqual([]);
    const { hostname, env, mounts } = specs[0]?.task?.container ?? {};
    expect({ hostname, env }).toEqual({
      hostname: "eu-{{.Task.Slot}}",
      env: ["NODE={{.Node.Hostname}}", "OTHER={{.Message}}"],
    });
    expect(mounts).toMatchObject([
      { kind: { value: { name: "t_data_{{.Task.Slot}}" } } },
      { kind: { value: { source: "/srv/{{.Task.Slot}}" } } },
    ]);
  });

  test("reports templates that agents cannot replace", () => {
    const { messages } = loadText(`services:
  s:
    image: a
    hostname: "{{.Node.Name}}"
    environment: { PEER: '{{if eq .Task.Slot "1"}}2{{end}}' }
    volumes: ["data:/data"]
volumes: { data: { name: "d{{.Foo}}" } }
`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:4:15: services.s.hostname: the placeholder "{{.Node.Name}}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
        "c.yaml:5:26: warning: services.s.environment.PEER: the placeholder "{{if eq .Task.Slot \\"1\\"}}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot; the text is used unchanged",
        "c.yaml:6:15: services.s.volumes[0]: the placeholder "{{.Foo}}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
      ]
    `);
  });
});
