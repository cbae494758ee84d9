import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fakeCli } from "../testing/fake-cli.js";
import { SshConnection } from "./ssh-connection.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-ssh-test-"));
});
afterEach(() => rm(directory, { recursive: true }));

/** Connects with an ssh program that runs this script. */
async function open(script: string, destination = "root@host-2"): Promise<SshConnection> {
  await writeFile(join(directory, "ssh"), `#!/bin/sh\n${script}\n`);
  await chmod(join(directory, "ssh"), 0o755);
  return SshConnection.open(fakeCli({ env: { PATH: `${directory}:${process.env.PATH}` } }), destination);
}

test.each(["-oProxyCommand=touch /tmp/x", "", "root@host 2", "$(id)@host"])(
  "rejects %j, which ssh or a shell could read as something else than a host",
  async (destination) => {
    await expect(open("exit 0", destination)).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
  },
);

test("says that ssh is missing", async () => {
  const cli = fakeCli({ env: { PATH: directory } });
  await expect(SshConnection.open(cli, "root@host-2")).rejects.toMatchObject({
    code: "BERTH_HOST_UNREACHABLE",
    message: expect.stringContaining("ssh is not installed on this machine"),
  });
});

test("repeats the last line of ssh with advice", async () => {
  const script =
    "echo '** WARNING: old key exchange' >&2\necho 'ssh: Could not resolve hostname host-2: no.' >&2\nexit 255";
  await expect(open(script)).rejects.toMatchObject({
    message: "cannot connect to root@host-2 with ssh: Could not resolve hostname host-2: no; check the name",
  });
});

/** Plays a connection: the first call creates the socket and stays, later calls run the remote command here. */
const LOCAL_SSH = `
for word; do
  [ "$previous" != -S ] || socket=$word
  previous=$word
done
case $* in
*ControlMaster=yes*) touch "$socket"; exec sleep 60 ;;
*) eval "$word" ;;
esac`;

test("passes arguments and input to the script unchanged, and ends with the connection", async () => {
  const ssh = await open(LOCAL_SSH);
  try {
    const args = ["it's", "$(id)", 'a "b"', ""];
    const script = `for word; do printf '<%s>' "$word"; done; cat; echo oops >&2; exit 3`;
    expect(await ssh.run({ script, args, input: "input", timeoutMs: 10_000 })).toEqual({
      exitCode: 3,
      stdout: `<it's><$(id)><a "b"><>input`,
      stderr: "oops\n",
    });
    await expect(ssh.run({ script: "sleep 30", timeoutMs: 100 })).rejects.toMatchObject({
      code: "BERTH_DEADLINE",
    });
  } finally {
    await ssh.close();
  }
});
