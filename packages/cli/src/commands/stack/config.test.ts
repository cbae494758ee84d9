// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { berth } from "../../testing/run-berth.js";

const COMPOSE = `name: shop
services:
  web: { image: "web:\${TAG:-1}", ports: ["8080:80"], environment: { PRICE: $$5 } }
  debug: { image: tools, profiles: [tools] }
volumes: { unused: }
`;

let cwd = "";
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), "berth-config-"));
  await writeFile(join(cwd, "compose.yaml"), COMPOSE);
});
afterEach(() => rm(cwd, { recursive: true }));

test("stack schema prints a JSON Schema with the keys of Compose and of berth", async () => {
  const { code, out } = await berth("stack schema", {}, { cwd });
  expect(code).toBe(0);
  const { properties } = JSON.parse(out);
  const service = properties.services.additionalProperties.properties;
  expect(service.image).toMatchObject({ type: "string", examples: ["nginx:1.27"] });
  expect(service.tty).toMatchObject({ type: ["boolean", "string"] });
  expect(service["x-berth"].anyOf).toMatchObject([{ type: "null" }, { properties: { at_most_one: {} } }]);
});

describe("stack config", () => {
  test("prints the resolved files, which Compose can read again", async () => {
    const { code, out } = await berth("stack config --quiet", {}, { cwd });
    expect([code, out]).toMatchInlineSnapshot(`
      [
        0,
        "name: shop
      services:
        web:
          image: web:1
          ports:
            - mode: ingress
              target: 80
              published: "8080"
              protocol: tcp
          environment:
            PRICE: $$5
          networks:
            default: null
      networks:
        default:
          name: shop_default
      ",
      ]
    `);
  });

  test("keeps false, which is not the default of every key", async () => {
    const service = `
    image: web
    init: false
    depends_on: { debug: { condition: service_started, required: false } }
    volumes: [{ type: bind, source: /a, target: /b, bind: { create_host_path: false } }]
`;
    await writeFile(join(cwd, "compose.override.yaml"), `services:\n  web:${service}`);
    const { out } = await berth("stack config --quiet --format json", {}, { cwd });
    expect(JSON.parse(out).services.web).toMatchObject({
      init: false,
      depends_on: { debug: { required: false } },
      volumes: [{ bind: { create_host_path: false } }],
    });
  });

  test("reads the override file that is next to the default file", async () => {
    await writeFile(join(cwd, "compose.override.yaml"), "services: { web: { image: other } }\n");
    const { out } = await berth("stack config --quiet --format json", {}, { cwd });
    expect(JSON.parse(out)).toMatchObject({ name: "shop", services: { web: { image: "other" } } });
  });

  test("prints only the names that an option asks for", async () => {
    const config = async (options: string) => (await berth(`stack config -q ${options}`, {}, { cwd })).out;
    expect(await config("--services")).toBe("web\n");
    expect(await config("--services --profile tools")).toBe("web\ndebug\n");
    expect(await config("--images --profile *")).toBe("web:1\ntools\n");
    const hash = await config("--hash");
    expect(hash).toMatch(/^web [0-9a-f]{64}\n$/);
    await writeFile(join(cwd, "compose.yaml"), COMPOSE.replace("8080", "8081"));
    expect(await config("--hash")).not.toBe(hash);
  });

  test("--images prints PROJECT-SERVICE for an image that is built without a name, as Compose does", async () => {
    const services = "services: { web: { build: . }, api: { build: ., image: 'api:1' } }\n";
    await writeFile(join(cwd, "compose.yaml"), `name: shop\n${services}`);
    expect((await berth("stack config -q --images", {}, { cwd })).out).toBe("shop-web\napi:1\n");
  });

  test("--no-interpolate keeps variables in any place, and what is written with dollar signs", async () => {
    await writeFile(
      join(cwd, "compose.yaml"),
      `name: shop
services:
  web:
    image: "web:\${TAG:-1}"
    command: echo $$HOME
    entrypoint: "\${ENTRYPOINT}"
    ports: ["\${PORT}:80", "8081:81"]
    volumes: ["\${DATA:-./data}:/data", "./logs/\${TAG}:/logs", "./plain:/plain"]
    environment: ["A=\${A:?missing}", B]
    env_file: "\${FILE}.env"
    networks: ["\${NETWORK}"]
    deploy: { replicas: "\${REPLICAS}" }
  debug: { image: tools, profiles: ["\${PROFILE}"] }
secrets: { key: { file: "\${KEYS}/key" } }
`,
    );
    const { code, out, err } = await berth("stack config --no-interpolate", {}, { cwd });
    expect([code, err, out.replaceAll(cwd, "/project")]).toMatchInlineSnapshot(`
      [
        0,
        "",
        "name: shop
      services:
        web:
          image: web:\${TAG:-1}
          command: echo $$HOME
          entrypoint: \${ENTRYPOINT}
          ports:
            - \${PORT}:80
            - mode: ingress
              target: 81
              published: "8081"
              protocol: tcp
          volumes:
            - \${DATA:-./data}:/data
            - ./logs/\${TAG}:/logs
            - type: bind
              source: /project/plain
              target: /plain
              bind:
                create_host_path: true
          environment:
            A: \${A:?missing}
            B: null
          env_file: \${FILE}.env
          networks:
            - \${NETWORK}
          deploy:
            replicas: \${REPLICAS}
        debug:
          image: tools
          profiles:
            - \${PROFILE}
          networks:
            default: null
      secrets:
        key:
          file: \${KEYS}/key
          name: shop_key
      networks:
        default:
          name: shop_default
      ",
      ]
    `);
  });

  test("--no-interpolate replaces variables that select files, and merges files with variables", async () => {
    await writeFile(join(cwd, "base.yaml"), "services: { base: { image: base, ports: ['${A}:80'] } }\n");
    const file =
      "services: { web: { extends: { file: '${BASE}.yaml', service: base }, ports: ['${B}:80'] } }\n";
    await writeFile(join(cwd, "compose.yaml"), file);
    const env = { BASE: "base" };
    const { out } = await berth("stack config -q --no-interpolate --format json", {}, { cwd, env });
    expect(JSON.parse(out).services).toMatchObject({ web: { image: "base", ports: ["${A}:80", "${B}:80"] } });
  });

  test("--no-interpolate cannot be combined with --check", async () => {
    const { code, err } = await berth("stack config --no-interpolate --check", {}, { cwd });
    expect(code).toBe(2);
    expect(err).toContain("--no-interpolate: cannot be combined with --check");
  });

  test("prints networks, profiles, and the variables of the files", async () => {
    const config = async (options: string, env = {}) =>
      (await berth(`stack config -q ${options}`, {}, { cwd, env })).out;
    expect(await config("--networks")).toBe("default\n");
    expect(await config("--profiles")).toBe("tools\n");
    expect(await config("--environment", { TAG: "2", OTHER: "3" })).toBe("TAG=2\n");
    expect(await config("--variables")).toBe(
      "NAME   REQUIRED   DEFAULT VALUE   ALTERNATE VALUE\nTAG    false      1\n",
    );
  });

  test("--hash prints the hashes of some services, and rejects an unknown one", async () => {
    const all = (await berth("stack config -q --hash --profile *", {}, { cwd })).out.split("\n");
    expect((await berth("stack config -q --hash debug --profile *", {}, { cwd })).out).toBe(`${all[1]}\n`);
    const { code, err } = await berth("stack config -q --hash wbe", {}, { cwd });
    expect(code).toBe(2);
    expect(err).toContain('no such service: wbe; did you mean "web"?');
  });

  test("--output-file writes the result to a file", async () => {
    const { out } = await berth("stack config -q --services --output-file names", {}, { cwd });
    expect([out, await readFile(join(cwd, "names"), "utf8")]).toEqual(["", "web\n"]);
  });

  test("--check reports what cannot be deployed, which the resolved files do not show", async () => {
    expect((await berth("stack config --check -q", {}, { cwd })).code).toBe(0);
    await writeFile(join(cwd, "compose.yaml"), "services:\n  web:\n    image: a\n    restart: sometimes\n");
    expect((await berth("stack config", {}, { cwd })).code).toBe(0);
    const { code, out, err } = await berth("stack config --check", {}, { cwd });
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain('compose.yaml:4:14: services.web.restart: "sometimes" is invalid');
  });

  test("a directory without a Compose file is an error", async () => {
    await rm(join(cwd, "compose.yaml"));
    const { code, err } = await berth("stack config", {}, { cwd });
    expect(code).toBe(2);
    expect(err).toContain("use -c FILE");
  });
});
