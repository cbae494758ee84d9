import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStateDirectory, type StateDirectory } from "../runtime/state-directory.js";
import { chooseAdvertiseAddress, requireReachable, writeAdvertiseAddress } from "./advertise-address.js";

let directory: string;
let stateDirectory: StateDirectory;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-advertise-"));
  stateDirectory = openStateDirectory(directory);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe("chooseAdvertiseAddress()", () => {
  it("takes the configured address before the stored one before 127.0.0.1", async () => {
    const servers = ["127.0.0.1:7400"];
    const choose = (configured: string | undefined) =>
      chooseAdvertiseAddress(stateDirectory, { configured, servers });
    expect(await choose(undefined)).toBe("127.0.0.1");
    await writeAdvertiseAddress(stateDirectory, "192.0.2.7");
    expect(await choose(undefined)).toBe("192.0.2.7");
    expect(await choose("192.0.2.8")).toBe("192.0.2.8");
  });

  it("rejects a damaged file", async () => {
    await stateDirectory.write("advertise-address", "192.0.2.");
    await expect(
      chooseAdvertiseAddress(stateDirectory, { configured: undefined, servers: [] }),
    ).rejects.toMatchObject({
      code: "BERTH_INPUT_INVALID",
      message: expect.stringContaining(`invalid file ${directory}/advertise-address: invalid IP address`),
    });
  });
});

describe("requireReachable()", () => {
  const own = new Set(["10.0.0.1", "fd00::1"]);
  const check = (address: string, ...servers: string[]) => requireReachable(address, { servers, own });

  it("accepts a loopback address while all servers are on this host", () => {
    check("127.0.0.1", "127.0.0.1:7400", "10.0.0.1:7400", "[fd00::1]:7400", "[::1]:7400", "localhost:7400");
  });

  it.each(["10.0.0.2:7400", "[fd00::2]:7400"])(
    "rejects a loopback address when the server %s is on another host",
    (server) => {
      expect(() => check("127.0.0.1", "10.0.0.1:7400", server)).toThrow(
        expect.objectContaining({
          message: expect.stringContaining(`server ${server} is on another host`),
        }),
      );
      check("10.0.0.1", server);
    },
  );
});
