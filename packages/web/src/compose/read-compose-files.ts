import { FileContent, NetworkSpec, ServiceSpec } from "@berth/proto";
import { loadStack } from "../../../cli/dist/compose/load-stack.js";
import { formatDiagnostic } from "../../../cli/dist/compose/text/format-diagnostics.js";
import type { JsonObject } from "../core/json.js";

/** A file that the user has selected. */
export interface SelectedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What `DeployStack` needs from Compose files, or why they cannot be deployed. */
export interface ComposeResult {
  /** "compose.yml:4:5: services.web.prots: unknown key" */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** Valid only without errors. */
  readonly request: JsonObject;
}

/** The directory that the files seem to be in. Paths in Compose files are relative to it. */
const DIRECTORY = "/";
const COMPOSE_FILE = /\.ya?ml$/;
const ENV_FILE = ".env";

/**
 * Reads Compose files with the code of the command line. Other files are those that Compose files refer to, such as env
 * files and configs.
 *
 * @throws BerthError BERTH_COMPOSE_INVALID when a file is not text
 */
export function readComposeFiles(stack: string, files: readonly SelectedFile[]): ComposeResult {
  const inputs = files.map(({ name, bytes }) => ({ name, path: `${DIRECTORY}${name}`, bytes }));
  const loaded = loadStack({
    stack,
    files: inputs.filter(({ name }) => COMPOSE_FILE.test(name)),
    envFiles: inputs.filter(({ name }) => name === ENV_FILE),
    environment: {},
    homeDirectory: DIRECTORY,
    readFile: (path) => inputs.find((file) => file.path === path)?.bytes,
  });
  const format = (severity: "error" | "warning"): readonly string[] =>
    loaded.diagnostics.filter((found) => found.severity === severity).map((found) => formatDiagnostic(found));
  const builds = loaded.builds.filter(({ hasImageName }) => !hasImageName);
  return {
    errors: [
      ...format("error"),
      ...builds.map(({ service }) => `service "${service}" has to be built; use berth stack deploy`),
      ...loaded.shipments.map(
        ({ service, path }) => `service "${service}" ships ${path} to its nodes; use berth stack deploy`,
      ),
    ],
    warnings: format("warning"),
    request: {
      stack,
      services: loaded.specs.map((spec) => ServiceSpec.toJSON(spec)),
      networks: loaded.networks.map((network) => NetworkSpec.toJSON(network)),
      files: loaded.files.map((file) => FileContent.toJSON(file)),
    },
  };
}
