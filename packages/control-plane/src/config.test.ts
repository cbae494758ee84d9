import { describe, expect, it } from "vitest";
import { parseArguments } from "./config.js";

describe("parseArguments", () => {
  it("prefers flags to variables and variables to defaults", () => {
    const env = { BERTH_LISTEN: "127.0.0.1:1", BERTH_HTTP: "127.0.0.1:2", BERTH_ETCD: "" };
    const parsed = parseArguments(["--listen", "[::1]:3", "--etcd", "http://a:1, http://b:2/"], env);
    expect(parsed).toEqual({
      kind: "config",
      config: {
        listen: "[::1]:3",
        http: "127.0.0.1:2",
        web: "[::1]:7406",
        webNames: [],
        advertise: undefined,
        dataDir: "/var/lib/berth/server",
        socket: "/run/berth/server.sock",
        etcd: ["http://a:1", "http://b:2"],
        etcdTls: undefined,
        logLevel: "info",
        autoRebalanceMs: undefined,
        networkPool: { subnet: { base: 0x0a400000, prefix: 10 }, networkPrefix: 18 },
        floodLimit: 32,
        etcdQuotaBytes: 4 * 1024 ** 3,
      },
    });
  });

  it("reports all invalid settings at once", () => {
    const argv = ["--listen", "nope", "--http", "1.2.3.4:70000", "--advertise", "x:0", "--etcd", "ftp://x"];
    const flags = ["--listen", "--http", "--advertise", "--log-level", "--etcd"];
    const parse = (): unknown => parseArguments([...argv, "--log-level", "loud"], {});
    for (const flag of flags) expect(parse).toThrow(flag);
  });

  it.each([
    [["--listen", "10.0.0.1:7400"], "10.0.0.1:7406"],
    [["--listen", "10.0.0.1:0"], "10.0.0.1:0"],
    [["--web", "0.0.0.0:443"], "0.0.0.0:443"],
    [["--web", "off"], undefined],
  ])("serves the web UI with %j at %s", (argv, web) => {
    expect(parseArguments(argv, {})).toMatchObject({ config: { web } });
  });

  it("accepts the names of DNS in --web-names", () => {
    const argv = ["--web-names", "Berth.example.com, h1"];
    expect(parseArguments(argv, {})).toMatchObject({ config: { webNames: ["berth.example.com", "h1"] } });
    expect(() => parseArguments(["--web-names", "a_b"], {})).toThrow(/--web-names "a_b"/);
  });

  it("parses --auto-rebalance as a duration", () => {
    expect(parseArguments(["--auto-rebalance", "10m"], {})).toMatchObject({
      config: { autoRebalanceMs: 600_000 },
    });
    expect(() => parseArguments(["--auto-rebalance", "soon"], {})).toThrow(/--auto-rebalance "soon"/);
  });

  it("parses --network-pool and --network-prefix", () => {
    const argv = ["--network-pool", "172.16.0.0/12", "--network-prefix", "20"];
    expect(parseArguments(argv, {})).toMatchObject({
      config: { networkPool: { subnet: { base: 0xac100000, prefix: 12 }, networkPrefix: 20 } },
    });
    expect(() => parseArguments(["--network-pool", "10.0.0.1/8"], {})).toThrow(/--network-pool/);
    expect(() => parseArguments(["--network-prefix", "8"], {})).toThrow(
      /--network-prefix "8"; use a number from 10 to 24/,
    );
  });

  describe("with an external etcd", () => {
    const all = ["--etcd-ca", "ca.pem", "--etcd-cert", "cert.pem", "--etcd-key", "key.pem"];

    it("accepts https URLs with the files for TLS, from flags and variables", () => {
      const env = { BERTH_ETCD_CA: "ca.pem", BERTH_ETCD_CERT: "cert.pem", BERTH_ETCD_KEY: "other.pem" };
      const etcdTls = { authoritiesFile: "ca.pem", certificateFile: "cert.pem", keyFile: "key.pem" };
      const urls = ["--etcd", "https://10.0.0.5:2379,https://etcd:2379"];
      for (const parsed of [
        parseArguments([...urls, ...all], {}),
        parseArguments([...urls, "--etcd-key", "key.pem"], env),
      ]) {
        expect(parsed).toMatchObject({ config: { etcd: urls[1]?.split(","), etcdTls } });
      }
    });

    it.each([
      ["https URLs without files", ["--etcd", "https://a:1"], [/--etcd-ca, --etcd-cert, --etcd-key missing/]],
      ["only some files", ["--etcd", "https://a:1", ...all.slice(0, 2)], [/--etcd-cert, --etcd-key missing/]],
      ["an empty path", ["--etcd", "https://a:1", ...all, "--etcd-key", ""], [/^ {2}--etcd-key missing/m]],
      ["files with http URLs", ["--etcd", "http://a:1", ...all], [/require https/]],
      ["files with URLs of both kinds", ["--etcd", "https://a:1, http://b:1", ...all], [/require https/]],
      ["files without --etcd", all, [/also set --etcd/]],
      ["several mistakes", all.slice(2), [/also set --etcd/, /--etcd-ca missing/]],
    ])("refuses the etcd options with %s", (_, argv, messages) => {
      for (const message of messages) expect(() => parseArguments(argv, {})).toThrow(message);
    });
  });

  it.each(["server.sock", "", `/${"x".repeat(107)}`])("refuses --socket %j", (path) => {
    expect(() => parseArguments(["--socket", path], {})).toThrow(/--socket .*absolute path/);
  });

  it("requires --advertise when the server listens on all addresses", () => {
    expect(() => parseArguments(["--listen", "0.0.0.0:7400"], {})).toThrow(/--advertise/);
  });

  it.each([["--nope"], ["stray"], ["--listen"]])("refuses the argument %s", (argument) => {
    expect(() => parseArguments([argument], {})).toThrow(
      expect.objectContaining({ code: "BERTH_INPUT_INVALID" }),
    );
  });

  it("returns the help text for --help", () => {
    expect(parseArguments(["--help"], {})).toMatchObject({
      kind: "text",
      text: expect.stringContaining("--data-dir"),
    });
  });
});
