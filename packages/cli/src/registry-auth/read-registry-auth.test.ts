import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServiceSpec } from "@berth/proto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fakeCli } from "../testing/fake-cli.js";
import { readRegistryAuth } from "./read-registry-auth.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-auth-"));
});
afterEach(() => rm(directory, { recursive: true }));

const specOf = (image: string): ServiceSpec => ServiceSpec.fromPartial({ task: { container: { image } } });

const cliWith = (signal?: AbortSignal) =>
  fakeCli({
    env: { DOCKER_CONFIG: directory, PATH: `${directory}:/usr/bin:/bin` },
    ...(signal && { signal }),
  });

const writeConfig = (config: object): Promise<void> =>
  writeFile(join(directory, "config.json"), JSON.stringify(config));

/** Creates the program of a credential helper. It gets the registry on standard input. */
async function writeHelper(name: string, script: string): Promise<void> {
  const path = join(directory, `docker-credential-${name}`);
  await writeFile(path, `#!/bin/sh\nread -r server\n${script}\n`);
  await chmod(path, 0o755);
}

describe("readRegistryAuth()", () => {
  it("reads the credentials of each registry once, from the file and from helpers", async () => {
    await writeHelper("hub", 'echo "{\\"Username\\":\\"$1\\",\\"Secret\\":\\"$server\\"}"');
    await writeHelper("none", 'echo "credentials not found in native keychain"; exit 1');
    await writeConfig({
      auths: { "ghcr.io": { auth: Buffer.from("ci:a").toString("base64") } },
      credHelpers: { "docker.io": "hub", "quay.io": "none" },
    });
    const cli = cliWith();
    const specs = ["nginx", "team/app", "ghcr.io/a:1", "ghcr.io/b:2", "quay.io/c"].map(specOf);
    expect(await readRegistryAuth(cli, specs)).toEqual([
      { server: "docker.io", username: "get", secret: "https://index.docker.io/v1/", isIdentityToken: false },
      { server: "ghcr.io", username: "ci", secret: "a", isIdentityToken: false },
    ]);
    expect(cli.err()).toBe(
      `warning: no credentials for quay.io in ${directory}/config.json; log in with docker login quay.io\n`,
    );
  });

  it("warns when there is no config.json", async () => {
    const cli = cliWith();
    expect(await readRegistryAuth(cli, [specOf("ghcr.io/a")])).toEqual([]);
    expect(cli.err()).toContain("no credentials for ghcr.io");
  });

  it("reports everything that cannot be read, and no secret", async () => {
    await writeHelper("locked", 'echo "the keychain is locked"; exit 1');
    await writeHelper("partial", 'echo "{\\"Secret\\":\\"hunter2\\""; exit 1');
    await writeHelper("endless", "yes hunter2");
    const credHelpers = { "a.io": "locked", "b.io": "partial", "c.io": "missing", "d.io": "endless" };
    await writeConfig({ credHelpers });
    const specs = Object.keys(credHelpers).map((server) => specOf(`${server}/a`));
    const error = await readRegistryAuth(cliWith(), specs).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: "BERTH_INPUT_INVALID" });
    expect(String(error)).toContain("a.io: docker-credential-locked failed: the keychain is locked; ");
    expect(String(error)).toContain("b.io: docker-credential-partial failed: exit code 1; ");
    expect(String(error)).toContain("c.io: docker-credential-missing is not installed; ");
    expect(String(error)).toContain("d.io: docker-credential-endless printed more than");
    expect(String(error)).not.toContain("hunter2");
  });

  it("ends with the command", async () => {
    await writeHelper("slow", "exec sleep 60");
    await writeConfig({ credsStore: "slow" });
    const command = new AbortController();
    const reading = readRegistryAuth(cliWith(command.signal), [specOf("nginx")]);
    command.abort(new Error("interrupted"));
    await expect(reading).rejects.toThrow("interrupted");
  });
});
