import { join } from "node:path";
import { expect, it } from "vitest";
import { ControlServiceService } from "../../gen/berth/v1/control.js";
import { DispatcherServiceService } from "../../gen/berth/v1/dispatcher.js";
import { ImageServiceService } from "../../gen/berth/v1/image.js";
import { PeerServiceService } from "../../gen/berth/v1/peer.js";
import { PERMISSIONS, type Role } from "./permissions.js";

const DOCUMENT = join(import.meta.dirname, "../../../docs/rpc-permissions.md");
const ROLES: readonly Role[] = ["viewer", "deployer", "admin", "node", "server", "anonymous"];
const SERVICES = [ControlServiceService, DispatcherServiceService, ImageServiceService, PeerServiceService];

function renderPermissions(): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const lines = Object.entries(PERMISSIONS).map(([path, allowed]) =>
    row([
      `\`${path.slice("/berth.v1.".length)}\``,
      ...ROLES.map((role) => (allowed.includes(role) ? "yes" : "")),
    ]),
  );
  return `# Who may call which method

This table is generated from \`proto/src/rpc/permissions.ts\` by \`npx vitest run --project unit proto/src/rpc/permissions.test.ts -u\`. A user can have several roles. Nodes and servers have the role of their kind only. Calls that a server forwards count as calls of the original caller. Callers without a certificate are anonymous.

${[row(["method", ...ROLES]), row(["---", ...ROLES.map(() => "---")]), ...lines].join("\n")}
`;
}

it("documents the permissions of every method in docs/rpc-permissions.md", async () => {
  const paths = SERVICES.flatMap((service) => Object.values(service).map(({ path }) => path));
  expect(Object.keys(PERMISSIONS).sort()).toEqual([...paths].sort());
  await expect(renderPermissions()).toMatchFileSnapshot(DOCUMENT);
});
