import { isBerthError } from "@berth/proto";
import { describe, expect, it } from "vitest";
import {
  lookUpCredentials,
  MAX_CONFIG_BYTES,
  parseDockerConfig,
  parseHelperOutput,
} from "./docker-config.js";

const SECRET = "hunter2";
const encode = (text: string): string => Buffer.from(text).toString("base64");

function sourceIn(server: string, config: object) {
  return lookUpCredentials(server, parseDockerConfig(JSON.stringify(config), "config.json"));
}

const found = (server: string, username: string, secret: string, isIdentityToken = false): object => ({
  kind: "credentials",
  credentials: { server, username, secret, isIdentityToken },
});

describe("lookUpCredentials()", () => {
  it.each([
    [
      "the entry that docker login writes",
      "ghcr.io",
      { "ghcr.io": { auth: encode(`ci:${SECRET}`) } },
      "ci",
      SECRET,
    ],
    ["a password with a colon", "ghcr.io", { "ghcr.io": { auth: encode("ci:a:b") } }, "ci", "a:b"],
    ["a padded password", "ghcr.io", { "ghcr.io": { auth: encode(`ci:${SECRET}\0\0`) } }, "ci", SECRET],
    [
      "the address of Docker Hub",
      "docker.io",
      { "docker.io": { auth: encode("old:old") }, "https://index.docker.io/v1/": { auth: encode("ci:new") } },
      "ci",
      "new",
    ],
    ["a URL", "host:5000", { "https://host:5000/v1/": { auth: encode("ci:a") } }, "ci", "a"],
    ["separate fields", "ghcr.io", { "ghcr.io": { username: "ci", password: "a" } }, "ci", "a"],
  ])("reads the login under %s", (_, server, auths, username, secret) => {
    expect(sourceIn(server, { auths })).toEqual(found(server, username, secret));
  });

  it("prefers an identity token", () => {
    const auths = { "a.io": { auth: encode("00000000:"), identitytoken: SECRET } };
    expect(sourceIn("a.io", { auths })).toEqual(found("a.io", "00000000", SECRET, true));
  });

  it("finds nothing for another registry or port, or in an empty entry", () => {
    const auths = { "a.io": {}, "b.io:443": { auth: encode("ci:a") } };
    for (const server of ["a.io", "b.io", "docker.io"]) {
      expect(sourceIn(server, { auths })).toEqual({ kind: "none" });
    }
  });

  it("asks the helper of the registry, then the one for all, instead of the file", () => {
    const config = {
      auths: { "a.io": { auth: encode("ci:a") } },
      credHelpers: { "https://a.io": "ecr-login", "b.io": "" },
      credsStore: "desktop",
    };
    expect(sourceIn("a.io", config)).toEqual({ kind: "helper", name: "ecr-login" });
    expect(sourceIn("docker.io", config)).toEqual({ kind: "helper", name: "desktop" });
    expect(sourceIn("b.io", config)).toEqual({ kind: "none" });
  });

  it.each([
    ["a helper that is a path", { credsStore: "../evil" }, "the name of its credential helper is invalid"],
    ["an entry that is text", { auths: { "a.io": SECRET } }, "its entry in auths is not an object"],
    [
      "a password without a user",
      { auths: { "a.io": { auth: encode(SECRET) } } },
      "is not a base64-encoded USER",
    ],
    ["a number", { auths: { "a.io": { auth: 7 } } }, "a value that is not text"],
    ["an invalid user", { auths: { "a.io": { username: "a\nb", password: SECRET } } }, "control characters"],
    ["a registry token", { auths: { "a.io": { registrytoken: SECRET } } }, "are not supported"],
  ])("reports %s without its secret", (_, config, reason) => {
    const source = sourceIn("a.io", config);
    expect(source).toEqual({ kind: "invalid", reason: expect.stringContaining(reason) });
    expect(JSON.stringify(source)).not.toContain(SECRET);
  });
});

describe("parseDockerConfig()", () => {
  it.each([
    ["text that is not JSON", `{"auths": {"a.io": ${SECRET}}}`, "it is not valid JSON"],
    ["a list", "[]", "it is not a JSON object"],
    ["auths that are a list", '{"auths":[]}', "auths is not an object"],
    ["a large file", `"${"a".repeat(MAX_CONFIG_BYTES)}"`, "it has more than 1048576 bytes"],
    [
      "too many registries",
      JSON.stringify({
        auths: Object.fromEntries(Array.from({ length: 1_001 }, (_, index) => [`h${index}`, {}])),
      }),
      "auths has more than 1000 entries",
    ],
  ])("refuses a Docker configuration with %s", (_, text, reason) => {
    try {
      parseDockerConfig(text, "config.json");
      expect.unreachable();
    } catch (error) {
      expect(isBerthError(error, "BERTH_INPUT_INVALID")).toBe(true);
      expect(String(error)).toContain(`cannot read config.json: ${reason}`);
      expect(String(error)).not.toContain(SECRET);
    }
  });
});

describe("parseHelperOutput()", () => {
  it("reads passwords and identity tokens", () => {
    const output = (Username: string): string =>
      JSON.stringify({ ServerURL: "a.io", Username, Secret: SECRET });
    expect(parseHelperOutput(output("ci"), "a.io")).toEqual(found("a.io", "ci", SECRET));
    expect(parseHelperOutput(output("<token>"), "a.io")).toEqual(found("a.io", "", SECRET, true));
    expect(parseHelperOutput('{"Username":"","Secret":""}', "a.io")).toEqual({ kind: "none" });
  });

  it.each([SECRET, `{"Username":"ci","Secret":["${SECRET}"]}`, "null", '{"Username":"ci"}'])(
    "reports %s without quoting it",
    (text) => {
      const source = parseHelperOutput(text, "a.io");
      expect(source.kind).toBe("invalid");
      expect(JSON.stringify(source)).not.toContain(SECRET);
    },
  );
});
