import { describe, expect, it } from "vitest";
import { isUtf8 } from "./node/buffer.js";
import { BlockList, isIP, SocketAddress } from "./node/net.js";
import { readComposeFiles } from "./read-compose-files.js";

const file = (name: string, text: string) => ({ name, bytes: new TextEncoder().encode(text) });

describe("readComposeFiles", () => {
  it("returns the request for a valid file, with variables of the env file", () => {
    const compose = file(
      "compose.yml",
      "services:\n  web:\n    image: nginx:$TAG\n    deploy:\n      replicas: 2\n",
    );
    const { errors, request } = readComposeFiles("shop", [compose, file(".env", "TAG=1.29\n")]);
    expect(errors).toEqual([]);
    expect(request).toMatchObject({
      stack: "shop",
      services: [
        { name: "shop_web", task: { container: { image: "nginx:1.29" } }, replicated: { replicas: 2 } },
      ],
    });
  });

  it("returns all errors with their places", () => {
    const compose = file("compose.yml", "services:\n  web:\n    imag: nginx\n    ports: [99999999]\n");
    const { errors } = readComposeFiles("shop", [compose]);
    expect(errors).toEqual(
      expect.arrayContaining([expect.stringMatching(/^compose\.yml:3:5: .*unknown key "imag"/)]),
    );
    expect(errors.length).toBeGreaterThan(1);
  });

  it("refuses services that the browser cannot build", () => {
    const compose = file("compose.yml", "services:\n  web:\n    build: .\n");
    expect(readComposeFiles("shop", [compose]).errors).toEqual([
      'service "web" must be built, which the web UI cannot do; deploy it with berth stack deploy',
    ]);
  });

  it("lets an override replace the values of the base file, whichever was selected first", () => {
    const base = file("compose.yml", "services:\n  web:\n    image: nginx:1\n");
    const override = file("compose.override.yml", "services:\n  web:\n    image: nginx:2\n");
    for (const files of [
      [base, override],
      [override, base],
    ]) {
      const { errors, request } = readComposeFiles("shop", files);
      expect(errors).toEqual([]);
      expect(request).toMatchObject({ services: [{ task: { container: { image: "nginx:2" } } }] });
    }
  });

  it("does not read a YAML file that a Compose file refers to as a Compose file", () => {
    const compose = file(
      "monitoring.yml",
      "services:\n  web:\n    image: nginx\n    configs: [main]\nconfigs:\n  main: { file: ./prometheus.yml }\n",
    );
    const config = file("prometheus.yml", "global:\n  scrape_interval: 15s\n");
    const { errors, request } = readComposeFiles("shop", [config, compose]);
    expect(errors).toEqual([]);
    expect(request).toMatchObject({ files: [{ content: Buffer.from(config.bytes).toString("base64") }] });
  });
});

describe("node:net in the browser", () => {
  it("recognizes addresses", () => {
    expect(["10.0.0.1", "::1", "10.1", "web", "010.0.0.1", ""].map(isIP)).toEqual([4, 6, 0, 0, 0, 0]);
  });

  it("checks subnets of both families", () => {
    const list = new BlockList();
    list.addSubnet("10.0.0.0", 8);
    list.addAddress("fe80::1");
    expect(["10.9.9.9", "11.0.0.1", "fe80::1", "fe80::2"].map((address) => list.check(address))).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(new SocketAddress({ address: "FE80:0::1" }).address).toBe("fe80::1");
  });
});

describe("node:buffer in the browser", () => {
  it("recognizes text", () => {
    expect(isUtf8(new TextEncoder().encode("café"))).toBe(true);
    expect(isUtf8(Uint8Array.of(0xff, 0xfe))).toBe(false);
  });
});
