import { describe, expect, it } from "vitest";
import { parseArguments } from "./config.js";

describe("parseArguments()", () => {
  it("takes flags before variables before defaults", () => {
    const env = { BERTH_LISTEN: "127.0.0.1:1", BERTH_HTTP: "127.0.0.1:2", BERTH_ETCD: "" };
    const parsed = parseArguments(["--listen", "[::1]:3", "--etcd", "http://a:1, http://b:2/"], env);
    expect(parsed).toEqual({
      kind: "config",
      config: {
        listen: "[::1]:3",
        http: "127.0.0.1:2",
        advertise: undefined,
        dataDir: "/var/lib/berth/server",
        etcd: ["http://a:1", "http://b:2"],
        logLevel: "info",
      },
    });
  });

  it("names everything that is wrong at once", () => {
    const argv = ["--listen", "nope", "--http", "1.2.3.4:70000", "--advertise", "x:0", "--etcd", "ftp://x"];
    const flags = ["--listen", "--http", "--advertise", "--log-level", "--etcd"];
    const parse = (): unknown => parseArguments([...argv, "--log-level", "loud"], {});
    for (const flag of flags) expect(parse).toThrow(flag);
  });

  it("wants to know the address of a server that listens everywhere", () => {
    expect(() => parseArguments(["--listen", "0.0.0.0:7400"], {})).toThrow(/--advertise/);
  });

  it.each([["--nope"], ["stray"], ["--listen"]])("refuses %s", (argument) => {
    expect(() => parseArguments([argument], {})).toThrow(
      expect.objectContaining({ code: "BERTH_INPUT_INVALID" }),
    );
  });

  it("gives help as text", () => {
    expect(parseArguments(["--help"], {})).toMatchObject({
      kind: "text",
      text: expect.stringContaining("--data-dir"),
    });
  });
});
