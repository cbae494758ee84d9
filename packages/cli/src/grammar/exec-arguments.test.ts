import { Command } from "commander";
import { expect, test } from "vitest";
import { fakeCli } from "../testing/fake-cli.js";
import { addClusterCommands } from "./cluster-commands.js";
import { terminateExecOptions } from "./exec-arguments.js";
import { addServiceCommands } from "./service-commands.js";

const program = new Command("berth").option("-s, --server <host:port>").option("-o, --output <format>");
addClusterCommands(program, fakeCli());
addServiceCommands(program, fakeCli());

test.each([
  ["exec web.1 ls -o", "exec web.1 -- ls -o"],
  ["exec -it web.1 sh -i", "exec -it web.1 -- sh -i"],
  ["-s host:1 exec -u root -tw /srv web.1 ls", "-s host:1 exec -u root -tw /srv web.1 -- ls"],
  ["exec -uroot --env=A=1 -e B=2 web.1 env -i", "exec -uroot --env=A=1 -e B=2 web.1 -- env -i"],
  ["exec web.1 -- ls -l", "exec web.1 -- -- ls -l"],
  ["exec -i -- web.1 ls -l", "exec -i -- web.1 ls -l"],
  ["service ps exec web", "service ps exec web"],
  ["service create -p 80:80 nginx -p x", "service create -p 80:80 nginx -- -p x"],
  ["exec", "exec"],
])("berth exec leaves the options of the executed command alone: %s", (given, expected) => {
  expect(terminateExecOptions(given.split(" "), program).join(" ")).toBe(expected);
});
