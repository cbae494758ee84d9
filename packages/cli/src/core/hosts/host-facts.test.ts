import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { FACTS_SCRIPT, parseHostFacts } from "./host-facts.js";

test("parseHostFacts() reads the lines of a host, and ignores those of its login scripts", () => {
  const facts = parseHostFacts(`Welcome to host-2!
hostname=host-2
os=Debian GNU/Linux 12 (bookworm)
architecture=amd64
systemd=yes
address=10.0.0.2
clock=1800000000
docker=inactive
dockerd=/usr/sbin/dockerd
etcd=
berth=installed 0.2.0
agent=enabled active
server=disabled inactive
nodeCertificate=${btoa("-----BEGIN CERTIFICATE-----\n")}
serverCertificate=
reachable=10.0.0.1:7400
reachable=[fd00::1]:7400
end=yes
`);
  expect(facts).toEqual({
    hostname: "host-2",
    os: "Debian GNU/Linux 12 (bookworm)",
    architecture: "amd64",
    hasSystemd: true,
    address: "10.0.0.2",
    clockMs: 1_800_000_000_000,
    docker: "stopped",
    hasEtcd: false,
    berthVersion: "0.2.0",
    hasLeftovers: false,
    agent: { isEnabled: true, isActive: true },
    server: { isEnabled: false, isActive: false },
    nodeCertificate: "-----BEGIN CERTIFICATE-----\n",
    serverCertificate: "",
    reachableServers: ["10.0.0.1:7400", "[fd00::1]:7400"],
  });
});

test("parseHostFacts() distinguishes a removed package from an installed one", () => {
  expect(parseHostFacts("berth=config-files 0.2.0\nend=yes\n")).toMatchObject({
    berthVersion: "",
    hasLeftovers: true,
  });
});

test("parseHostFacts() rejects output that ends early, and certificates that are damaged", () => {
  const failure = expect.objectContaining({ code: "BERTH_HOST_FAILED" });
  expect(() => parseHostFacts("hostname=host-2\n")).toThrow(failure);
  expect(() => parseHostFacts("nodeCertificate=*\nend=yes\n")).toThrow(failure);
});

test("the script runs in a POSIX shell, and reports ports that are closed by leaving them out", () => {
  const env = { PATH: process.env.PATH, SSH_CONNECTION: "10.0.0.9 40000 10.0.0.2 22" };
  const output = execFileSync("sh", ["-c", FACTS_SCRIPT, "sh", "127.0.0.1:1"], { env, encoding: "utf8" });
  expect(parseHostFacts(output)).toMatchObject({ address: "10.0.0.2", reachableServers: [] });
});
