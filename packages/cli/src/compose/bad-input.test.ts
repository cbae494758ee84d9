// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import { isBerthError } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { loadText } from "../testing/load-text.js";

/** Property tests on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

describe("loadStack with invalid files", () => {
  const message = (content: string | Uint8Array): string => {
    try {
      return loadText(content).messages.join("\n");
    } catch (error) {
      if (isBerthError(error, "BERTH_COMPOSE_INVALID")) return error.message;
      throw error;
    }
  };

  test.each([
    ["an empty file", ""],
    ["only comments", "# nothing\n"],
    ["no services", "volumes: {}\n"],
    ["empty services", "services:\n"],
    ["a list", "- a\n"],
    ["a scalar", "hello\n"],
    ["bad indentation", "services:\n  web:\n    image: a\n   ports: []\n"],
    ["a duplicate key", "services:\n  web:\n    image: a\n    image: b\n"],
    ["an unknown alias", "services: *nope\n"],
    ["an anchor inside itself", "services: &a { web: *a }\n"],
    ["a NUL byte", "services:\0"],
    ["a v1 file", "web:\n  image: a\n"],
    ["a tab", "services:\n\tweb: {}\n"],
    ["a name that is too long", `services:\n  ${"x".repeat(70)}: { image: a }\n`],
  ])("%s", (_, content) => {
    expect(message(content)).toMatchSnapshot();
  });

  test("rejects a file that is not UTF-8", () => {
    expect(message(new Uint8Array([0xc3, 0x28]))).toBe(
      "c.yaml:1:1: the file is not UTF-8; convert it to UTF-8",
    );
  });

  test("reports an invalid image without reporting it as missing", () => {
    expect(message("services:\n  web:\n    image: [1]\n")).toBe(
      "c.yaml:3:12: services.web.image: must be text, not a list",
    );
  });

  test("reports a number of restart attempts that is too large", () => {
    expect(message("services:\n  web:\n    image: a\n    restart: on-failure:99999999999\n")).toBe(
      "c.yaml:4:14: services.web.restart: on-failure:99999999999 has too many attempts (maximum 2147483647)",
    );
  });

  test.each(['["db="]', '["db:"]', '{ db: "" }', '["db=10.0.0.1,"]'])(
    "reports a host without an address in extra_hosts: %s",
    (hosts) => {
      expect(message(`services:\n  web:\n    image: a\n    extra_hosts: ${hosts}\n`)).toContain(
        'host "db" has no address',
      );
    },
  );

  test("variables that expand to too much text", () => {
    const lines = Array.from({ length: 30 }, () => "A=$A$A");
    const dotenv = `A=${"a".repeat(64)}\n${lines.join("\n")}\n`;
    const { messages } = loadText("services:\n  web:\n    image: a\n", { dotenv });
    expect(messages[0]).toBe(".env:16:3: the value is longer than 1048576 characters with its variables");
  });

  test("a value that is repeated too often", () => {
    const values = Array.from({ length: 40 }, (_, index) => `      A${index}: $BIG\n`).join("");
    const text = `services:\n  web:\n    image: a\n    environment:\n${values}`;
    const { messages } = loadText(text, { env: { BIG: "a".repeat(500_000) } });
    expect(messages.join("\n")).toContain("the file has more than 16777216 characters with its variables");
  });

  test("ports that are ranges of too many ports", () => {
    const ports = "      - 1-65535\n".repeat(1_000);
    expect(message(`services:\n  web:\n    image: a\n    ports:\n${ports}`)).toContain(
      'c.yaml:5:9: services.web.ports[0]: "1-65535" is not a port: too many ports (65535, maximum 2000)',
    );
    const short = "      - 1-1500\n".repeat(2);
    expect(message(`services:\n  web:\n    image: a\n    ports:\n${short}`)).toBe(
      "c.yaml:6:9: services.web.ports[1]: too many ports (maximum 2000)",
    );
  });

  test("a file that is too large", () => {
    expect(message(new Uint8Array(5_000_001).fill(35))).toBe(
      "c.yaml:1:1: the file is larger than 5000000 bytes",
    );
  });

  test("aliases that expand to too many values", () => {
    const levels = Array.from({ length: 12 }, (_, level) => {
      const items = Array.from({ length: 10 }, () => (level === 0 ? "x" : `*a${level - 1}`));
      return `x-${level}: &a${level} [${items.join(", ")}]`;
    });
    expect(message(levels.join("\n"))).toMatch(
      /^c\.yaml:\d+:\d+: .*the file has more than 200000 values after its aliases are expanded$/,
    );
  });

  test("rejects a file that is nested too deeply", () => {
    expect(message(`a: ${"[".repeat(20_000)}`)).toMatch(/^c\.yaml:1:\d+: the file is nested too deeply$/);
    expect(message(`a: ${"[".repeat(200)}${"]".repeat(200)}`)).toMatch(/nested deeper than 100 levels/);
    const chain = Array.from({ length: 500 }, (_, level) => {
      const inner = level === 0 ? "x" : `*a${level - 1}`;
      return `x-${level}: &a${level} ${"[".repeat(40)}${inner}${"]".repeat(40)}`;
    });
    expect(message(chain.join("\n"))).toMatch(/nested deeper than 100 levels/);
  });

  test("ignores a byte order mark and CRLF line endings", () => {
    const { specs, messages } = loadText("\ufeffservices:\r\n  s:\r\n    image: a\r\n    user: b\r\n");
    expect(messages).toEqual([]);
    expect(specs[0]?.task?.container).toMatchObject({ image: "a", user: "b" });
  });
});

describe("loadStack throws nothing but BerthErrors", () => {
  const settles = (content: string | Uint8Array): void => {
    try {
      const { specs, messages } = loadText(content);
      expect(specs.length + messages.length).toBeGreaterThan(0);
    } catch (error) {
      if (!isBerthError(error)) throw error;
    }
  };

  test("loadStack throws nothing but BerthErrors for random bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), settles));
  });

  test("loadStack throws nothing but BerthErrors for random values under the keys of a service", () => {
    const keys = [
      "image",
      "command",
      "ports",
      "volumes",
      "environment",
      "env_file",
      "deploy",
      "healthcheck",
      "tmpfs",
      "networks",
      "labels",
      "ulimits",
      "devices",
      "extra_hosts",
      "restart",
      "logging",
      "dns",
      "build",
      "depends_on",
      "x-berth",
      "secrets",
      "configs",
    ];
    const key = fc.constantFrom(...keys);
    const word = fc.constantFrom(
      "a",
      "1",
      "1:2",
      "$",
      "${A:-b}",
      "/x:/y:z",
      "1s",
      "node.id==a",
      "__proto__",
      "toString",
    );
    const scalar = fc.oneof(word, fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.double());
    const inner = fc.constantFrom(
      "target",
      "source",
      "uid",
      "file",
      "environment",
      "content",
      "external",
      "template_driver",
      "a",
      "type",
      "mode",
      "replicas",
      "resources",
      "limits",
      "test",
      "x",
      "condition",
      "update_config",
      "preferences",
      "cron",
      "autoscale",
      "failover",
      "schedule",
      "never",
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        scalar,
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(fc.oneof(inner, fc.string()), tie("value"), { maxKeys: 3 }),
      ),
    }));
    fc.assert(
      fc.property(fc.dictionary(key, value, { maxKeys: 6 }), value, (service, secrets) => {
        const services = { s: { image: "a", ...service } };
        const configs = { a: { content: "{{x}}", template_driver: "golang" } };
        settles(JSON.stringify({ services, volumes: { a: null }, secrets, configs }));
      }),
      { numRuns: 300 },
    );
  });
});
