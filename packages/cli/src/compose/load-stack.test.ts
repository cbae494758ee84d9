// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import { describe, expect, test } from "vitest";
import { loadService, loadText } from "../testing/load-text.js";

describe("loadStack", () => {
  test("translates a file to specs with stack-scoped names and all defaults", () => {
    const { specs, messages } = loadText(`
services:
  web:
    image: nginx:1.27
    command: nginx -g 'daemon off;'
    environment: { MODE: live, COUNT: 3, DEBUG: true }
    ports: ["8080:80"]
    volumes: ["data:/data:ro", "/etc/app:/etc/app"]
    deploy:
      replicas: 3
      placement: { constraints: [node.labels.zone == a], max_replicas_per_node: 1 }
      resources:
        limits: { cpus: "0.5", memory: 64M }
        reservations: { memory: 32M }
      restart_policy: { condition: on-failure, delay: 2s, max_attempts: 4 }
      update_config: { parallelism: 2, delay: 1s, order: start-first }
      labels: { team: shop }
volumes:
  data: { driver: local }
`);
    expect(messages).toEqual([]);
    expect(specs).toHaveLength(1);
    expect(specs[0]).toMatchObject({
      name: "t_web",
      stack: "t",
      labels: { team: "shop" },
      mode: { $case: "replicated", value: { replicas: 3 } },
      placement: { constraints: ["node.labels.zone == a"], maxReplicasPerNode: 1 },
      update: { parallelism: 2, delayMs: 1_000, order: 2 },
      ports: [{ target: 80, published: 8080, protocol: 1, mode: 1, hostIp: "" }],
      task: {
        limits: { nanoCpus: 500_000_000, memoryBytes: 64 << 20 },
        reservations: { memoryBytes: 32 << 20 },
        restart: { condition: 2, delayMs: 2_000, maxAttempts: 4 },
        container: {
          image: "nginx:1.27",
          command: { values: ["nginx", "-g", "daemon off;"] },
          env: ["MODE=live", "COUNT=3", "DEBUG=true"],
          mounts: [
            {
              target: "/data",
              readOnly: true,
              kind: { $case: "volume", value: { name: "t_data", driver: "local" } },
            },
            {
              target: "/etc/app",
              kind: { $case: "bind", value: { source: "/etc/app", createHostPath: true } },
            },
          ],
        },
      },
    });
  });

  test("reports all errors at once, each with its place", () => {
    const { messages } = loadText(`services:
  web:
    image: nginx
    prots: ["80"]
    ports: 80
    healthcheck:
      retries: three
      interval: 10
    deploy:
      replicas: -1
      resources:
        limits:
          memory: 512Mi
          cpus: 500m
      placement:
        constraints: ["node.role is manager"]
    volumes:
      - nope:/data
  db:
    build: .
  Ünicode:
    image: x
serivces: {}
`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:4:5: services.web.prots: unknown key "prots"; did you mean "ports"?",
        "c.yaml:5:12: services.web.ports: must be a list such as ["80"], not the number 80",
        "c.yaml:7:16: services.web.healthcheck.retries: must be a whole number, not the text "three"",
        "c.yaml:8:17: services.web.healthcheck.interval: the duration "10" has no unit; did you mean "10s"?",
        "c.yaml:10:17: services.web.deploy.replicas: -1 is less than 0",
        "c.yaml:13:19: services.web.deploy.resources.limits.memory: "512Mi" is not a size; use 512M",
        "c.yaml:14:17: services.web.deploy.resources.limits.cpus: "500m" is not a number of CPUs; use 0.5",
        "c.yaml:16:23: services.web.deploy.placement.constraints[0]: "node.role is manager" is not a valid constraint; use a form such as "node.labels.zone == a"",
        "c.yaml:18:9: services.web.volumes[0]: undefined volume "nope"; declare it under the top-level volumes, or use ./nope for a directory",
        "c.yaml:21:3: services.Ünicode: invalid service name "Ünicode"; use ASCII letters, digits, -, _ and ., starting with a letter or digit",
        "c.yaml:23:1: serivces: unknown key "serivces"; did you mean "services"?",
      ]
    `);
  });

  test("reports unsupported keys as warnings, or as errors if the service would not work", () => {
    const { messages } = loadText(`services:
  web:
    image: nginx
    container_name: web
    networks: { front: { ipv4_address: 10.0.0.2 } }
    external_links: [cache]
    pre_start: [{ command: migrate }]
    deploy:
      endpoint_mode: dnsrr
      placement: { constraints: [node.role == manager] }
    volumes: ["./html:/html:z"]
  db: { image: redis, network_mode: "service:web", profiles: [debug] }
networks: { front: {} }
models: { llm: { model: ai/smollm2 } }
`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:4:5: warning: services.web.container_name: containers are named after their service and slot: the name is used as a network alias instead",
        "c.yaml:5:40: services.web.networks.front.ipv4_address: the network front has no subnet; set one under its ipam",
        "c.yaml:7:5: services.web.pre_start: init containers are not supported; define a separate service, and wait for it with depends_on and service_completed_successfully",
        "c.yaml:11:15: warning: services.web.volumes[0]: ./html resolves to /project/html, which must exist on every node that runs the service; to send it to them, add x-berth: { ship: true } to the service",
        "c.yaml:12:62: warning: services.db.profiles: the service is disabled; use --profile debug to enable it",
        "c.yaml:14:1: models: models need Docker Model Runner, which nodes do not have; run the model as a service",
      ]
    `);
  });

  test("ignores keys without an effect silently, and says why keys about Docker Compose have none", () => {
    const file = `version: 3.8
name: other
x-common: &common { restart: always }
services:
  web:
    <<: *common
    image: nginx
    expose: ["80"]
    attach: false
    develop: { watch: [] }
    x-note: anything
`;
    expect(loadText(file).messages).toMatchInlineSnapshot(`
      [
        "c.yaml:9:5: warning: services.web.attach: attach only affects the output of docker compose up; use berth service logs",
        "c.yaml:10:5: warning: services.web.develop: develop only affects docker compose watch, and has no effect in a cluster",
      ]
    `);
  });

  test("two services cannot publish the same port", () => {
    const { messages } = loadText(`services:
  a: { image: a, ports: ["127.0.0.1:80:80"] }
  b: { image: b, ports: ["8080:80", "80:80"] }
`);
    expect(messages).toEqual([
      "c.yaml:3:37: services.b.ports[1]: port 80/tcp is already published by service a",
    ]);
  });

  test("a service with profiles is disabled unless COMPOSE_PROFILES contains one", () => {
    const file = "services:\n  web: { image: a }\n  debug: { image: b, profiles: [tools] }\n";
    expect(loadText(file).specs.map(({ name }) => name)).toEqual(["t_web"]);
    expect(loadText(file).messages).toEqual([
      "c.yaml:3:32: warning: services.debug.profiles: the service is disabled; use --profile tools to enable it",
    ]);
    expect(loadText(file, { env: { COMPOSE_PROFILES: "x,tools" } }).specs).toHaveLength(2);
  });

  test("reads .env, which the environment overrides", () => {
    const file = "services:\n  s: { image: 'a:${TAG}', environment: { A: '${A}', B: , C: } }\n";
    const { specs, messages } = loadText(file, { dotenv: "TAG=1\nA=file\nB=file\n", env: { A: "shell" } });
    expect(messages).toEqual([]);
    expect(specs[0]?.task?.container).toMatchObject({ image: "a:1", env: ["A=shell", "B=file"] });
  });

  test("an unset variable is a warning at its first place", () => {
    const { messages } = loadService("user: ${NOPE}\nhostname: a${NOPE}");
    expect(messages).toEqual([
      "c.yaml:4:11: warning: services.s.user: variable NOPE is not set: using an empty string (and in 1 more place)",
    ]);
  });

  test("env_file: later files override earlier ones, environment overrides files, missing files are errors unless optional", () => {
    const { specs, messages } = loadService(
      "env_file: [a.env, { path: b.env, format: raw }, { path: none.env, required: false }, gone.env]\nenvironment: { C: top }",
      { files: { "a.env": "A=1\nB='one' # note\nC=a\n", "b.env": "B='two'\n" } },
    );
    expect(messages).toEqual(["c.yaml:4:90: services.s.env_file[3]: no such file: gone.env"]);
    expect(specs[0]?.task?.container?.env).toEqual(["A=1", "B='two'", "C=top"]);
  });

  test("merges several files as Compose does", () => {
    const base = `services:
  web:
    image: nginx:1
    command: [a, b]
    environment: [A=1, B=2]
    ports: ["8080:80", "9090:90"]
    volumes: ["data:/data", "/old:/etc/app"]
    dns: 1.1.1.1
    labels: { a: "1" }
volumes: { data: }
`;
    const override = `services:
  web:
    image: nginx:2
    command: [c]
    environment: { B: "3", C: "4" }
    ports: ["8080:80", "7070:70"]
    volumes: ["/new:/etc/app"]
    dns: [8.8.8.8]
    labels: !reset null
  extra: { image: redis }
`;
    const { specs, messages } = loadText(base, { overrides: [override] });
    expect(messages).toEqual([]);
    expect(specs.map(({ name }) => name)).toEqual(["t_web", "t_extra"]);
    expect(specs[0]?.ports.map(({ published }) => published)).toEqual([8080, 9090, 7070]);
    expect(specs[0]?.task?.container).toMatchObject({
      image: "nginx:2",
      command: { values: ["c"] },
      env: ["A=1", "B=3", "C=4"],
      dns: ["1.1.1.1", "8.8.8.8"],
      labels: {},
      mounts: [{ target: "/data" }, { target: "/etc/app", kind: { value: { source: "/new" } } }],
    });
  });

  test("!override replaces the value of earlier files", () => {
    const { specs } = loadText('services: { s: { image: a, ports: ["1:1"] } }', {
      overrides: ['services: { s: { ports: !override ["2:2"] } }'],
    });
    expect(specs[0]?.ports.map(({ published }) => published)).toEqual([2]);
  });
});
