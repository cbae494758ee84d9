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

/** Virtual directory of the files. Paths in Compose files are relative to it. */
const VIRTUAL_ROOT = "/";
const YAML_FILE = /\.ya?ml$/;
/** Usual names of Compose files, such as "docker-compose.override.yml". */
const USUAL_NAME = /^(docker-)?compose([.-].*)?\.ya?ml$/;
/** Usual names of the file that the others override. */
const BASE_NAME = /^(docker-)?compose\.ya?ml$/;
const SERVICES_KEY = /^["']?services["']?[ \t]*:/m;
const ENV_FILE = ".env";

/**
 * Loads Compose files with the same code as the command line. Other files are those that Compose files refer to, such as
 * env files and configs.
 *
 * @throws BerthError BERTH_COMPOSE_INVALID when a file is not text
 */
export function readComposeFiles(stack: string, files: readonly SelectedFile[]): ComposeResult {
  const inputs = files.map(({ name, bytes }) => ({ name, path: `${VIRTUAL_ROOT}${name}`, bytes }));
  const loaded = loadStack({
    stack,
    files: selectComposeFiles(inputs),
    envFiles: inputs.filter(({ name }) => name === ENV_FILE),
    environment: {},
    homeDirectory: VIRTUAL_ROOT,
    readFile: (path) => inputs.find((file) => file.path === path)?.bytes,
  });
  const format = (severity: "error" | "warning"): readonly string[] =>
    loaded.diagnostics.filter((found) => found.severity === severity).map((found) => formatDiagnostic(found));
  const builds = loaded.builds.filter(({ hasImageName }) => !hasImageName);
  return {
    errors: [
      ...format("error"),
      ...builds.map(
        ({ service }) =>
          `service "${service}" must be built, which the web UI cannot do; deploy it with berth stack deploy`,
      ),
      ...loaded.shipments.map(
        ({ service, path }) =>
          `service "${service}" ships ${path} to its nodes, which the web UI cannot do; deploy it with berth stack deploy`,
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

/**
 * Selects the Compose files, with the base file first, because later files override earlier ones. YAML files without
 * services can be configs. If no YAML file looks like a Compose file, all of them are selected, so that their errors are
 * shown.
 */
function selectComposeFiles<File extends SelectedFile>(files: readonly File[]): readonly File[] {
  const yamlFiles = files.filter(({ name }) => YAML_FILE.test(name));
  const composeFiles = yamlFiles.filter(
    ({ name, bytes }) => USUAL_NAME.test(name) || SERVICES_KEY.test(new TextDecoder().decode(bytes)),
  );
  const selected = composeFiles.length > 0 ? composeFiles : yamlFiles;
  return selected.toSorted((a, b) => Number(BASE_NAME.test(b.name)) - Number(BASE_NAME.test(a.name)));
}
